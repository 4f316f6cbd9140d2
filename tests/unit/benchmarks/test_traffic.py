import pytest

from benchmarks.traffic import (
    MAX_STEPS,
    MIN_STEPS,
    SHAPES,
    Mix,
    arrivals,
    interpolate,
    requests,
)


@pytest.mark.parametrize("mix", ["uniform", "skewed"])
def test_a_seed_draws_the_same_requests_again(mix: Mix) -> None:
    assert requests(mix, 30, seed=1) == requests(mix, 30, seed=1)
    assert requests(mix, 30, seed=1) != requests(mix, 30, seed=2)


@pytest.mark.parametrize("mix", ["uniform", "skewed"])
def test_steps_and_sizes_stay_within_what_servers_take(mix: Mix) -> None:
    for request in requests(mix, 200, seed=3):
        assert MIN_STEPS <= request.steps <= MAX_STEPS
        assert (request.aspect_ratio, request.megapixels) in SHAPES
        assert 0 <= request.guidance <= 10


def test_all_new_prompts_differ_within_and_between_seeds() -> None:
    prompts = [one.prompt for seed in (1, 2) for one in requests("uniform", 100, seed)]
    assert len(set(prompts)) == 200


def test_repeated_prompts_are_few_and_about_as_many_as_asked() -> None:
    prompts = [one.prompt for one in requests("uniform", 400, 1, share_repeated=0.5)]
    repeated = [prompt for prompt in prompts if prompts.count(prompt) > 1]
    assert len(set(repeated)) <= 4
    assert 140 < len(repeated) < 260


def test_the_skewed_mix_is_mostly_short_requests() -> None:
    wanted = requests("skewed", 500, seed=1)
    short = [one for one in wanted if one.steps < 10]
    assert 350 < len(short) < 450
    assert {one.steps for one in wanted if one not in short} == {MAX_STEPS}


def test_arrivals_are_ascending_and_have_the_wanted_rate() -> None:
    instants = arrivals(4000, rate_per_s=5.0, seed=1)
    assert instants == sorted(instants)
    assert instants[-1] / len(instants) == pytest.approx(0.2, rel=0.05)


def test_loads_differ_in_nothing_but_the_scale_of_time() -> None:
    slow, fast = arrivals(50, 1.0, seed=7), arrivals(50, 4.0, seed=7)
    assert fast == pytest.approx([instant / 4 for instant in slow])


def test_the_time_alone_lies_on_the_line_between_the_ends() -> None:
    assert interpolate(MIN_STEPS, 0.1, 1.0) == pytest.approx(0.1)
    assert interpolate(MAX_STEPS, 0.1, 1.0) == pytest.approx(1.0)
    assert interpolate((MIN_STEPS + MAX_STEPS) // 2, 0.1, 1.0) == pytest.approx(0.55)
