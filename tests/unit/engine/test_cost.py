"""Predictions of a cost model: what it learns, and what it does not forget."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photogram.engine.cost import GUESS, CostModel, CostTable, Load
from tests.unit.engine.simulation import EMBEDDED, LARGE

counts = st.integers(1, 5000)
prices = st.floats(1e-9, 1e-2)
tables = st.builds(
    CostTable,
    step=st.tuples(prices, prices, prices, st.floats(1e-12, 1e-8)),
    begin=st.tuples(prices),
    decode=st.tuples(prices, st.floats(1e-9, 1e-6)),
)


def loads(num_tokens: int, *numbers: int) -> list[Load]:
    return [Load.of([num_tokens] * number) for number in numbers]


def test_load_of_a_mixed_step() -> None:
    assert Load.of([3, 4]) == Load(num_samples=2, num_tokens=7, num_pairs=25)


@given(table=tables, tokens=st.lists(counts, max_size=8), more=counts)
def test_a_sample_more_never_looks_cheaper(table: CostTable, tokens: list[int], more: int) -> None:
    cost = CostModel(table)
    load = Load.of(tokens)
    assert cost.step_s(load.beside(Load.of([more]))) > cost.step_s(load)


@given(table=tables, seconds=st.floats(1e-7, 1e5), tokens=st.lists(counts, min_size=1, max_size=8))
def test_prices_stay_positive_whatever_is_measured(
    table: CostTable, seconds: float, tokens: list[int]
) -> None:
    cost = CostModel(table)
    for _ in range(50):
        cost.observe_step(Load.of(tokens), seconds)
    assert all(0 < price < math.inf for price in cost.table.step)


def test_what_adapters_take_is_learned_and_leaves_the_rest_alone() -> None:
    cost, adapted, plain = CostModel(EMBEDDED), Load.of_sample(96, 2), Load.of_sample(96)
    before_s = cost.step_s(plain)
    for _ in range(300):
        cost.observe_step(plain, before_s)
        cost.observe_step(adapted, 3 * before_s)
    assert cost.step_s(adapted) == pytest.approx(3 * before_s, rel=0.1)
    assert cost.step_s(plain) == pytest.approx(before_s, rel=0.1)
    again = CostModel(cost.table)
    assert again.step_s(adapted) == cost.step_s(adapted)


@pytest.mark.parametrize("table", [EMBEDDED, LARGE])
def test_a_few_measurements_predict_steps_that_were_not_measured(table: CostTable) -> None:
    truth, cost = CostModel(table), CostModel()
    native, quarter = (96, 48) if table is EMBEDDED else (4608, 1536)
    measured = [*loads(native, 1, 2), *loads(quarter, 1, 2, 4)]
    cost.fit_steps([(load, truth.step_s(load)) for load in measured])
    for load in [*loads(native, 3, 4), *loads(quarter, 3, 6), Load.of([native, quarter])]:
        assert cost.step_s(load) == pytest.approx(truth.step_s(load), rel=0.1)


def test_one_measurement_sets_the_scale_of_all() -> None:
    cost = CostModel()
    cost.fit_steps([(Load.of([96]), 1000 * CostModel().step_s(Load.of([96])))])
    assert cost.step_s(Load.of([48])) == pytest.approx(
        1000 * CostModel().step_s(Load.of([48])), rel=0.5
    )


def test_serving_follows_a_machine_that_becomes_slower() -> None:
    cost, truth = CostModel(EMBEDDED), CostModel(EMBEDDED)
    served = loads(96, 1, 3, 5)
    for turn in range(150):
        load = served[turn % 3]
        cost.observe_step(load, 2 * truth.step_s(load))
    for load in [*served, *loads(48, 1, 8)]:
        assert cost.step_s(load) == pytest.approx(2 * truth.step_s(load), rel=0.25)


def test_noise_of_a_shared_machine_moves_predictions_little() -> None:
    cost, truth, rng = CostModel(EMBEDDED), CostModel(EMBEDDED), np.random.default_rng(0)
    (load,) = loads(96, 2)
    errors = []
    for turn in range(600):
        hiccup = 30 if turn % 50 == 49 else 1
        cost.observe_step(load, hiccup * truth.step_s(load) * math.exp(rng.normal(0, 0.2)))
        errors.append(abs(math.log(cost.step_s(load) / truth.step_s(load))))
    assert sum(errors) / len(errors) < 0.1
    assert max(errors) < 0.25


def test_one_wild_measurement_counts_as_one_that_is_out_twofold() -> None:
    wild, twofold = CostModel(EMBEDDED), CostModel(EMBEDDED)
    (load,) = loads(96, 1)
    wild.observe_step(load, 3600.0)
    twofold.observe_step(load, 2 * twofold.step_s(load))
    assert wild.step_s(load) == pytest.approx(twofold.step_s(load))
    assert wild.step_s(load) < 1.1 * CostModel(EMBEDDED).step_s(load)


def test_serving_one_shape_does_not_forget_the_others() -> None:
    cost, truth = CostModel(EMBEDDED), CostModel(EMBEDDED)
    (lone,), (many,) = loads(96, 1), loads(96, 10)
    for _ in range(5000):
        cost.observe_step(lone, truth.step_s(lone))
    assert cost.step_s(many) == pytest.approx(truth.step_s(many), rel=0.01)


def test_a_table_makes_the_same_model_again() -> None:
    cost = CostModel()
    cost.fit_decodes([(65536, 0.06), (16384, 0.017)])
    cost.fit_encodes([(65536, 0.03)])
    cost.fit_begin(0.01)
    again = CostModel(cost.table)
    assert again.decode_s(65536) == cost.decode_s(65536) == pytest.approx(0.06, rel=0.05)
    assert again.encode_s(65536) == cost.encode_s(65536) == pytest.approx(0.03, rel=0.05)
    assert again.begin_s == cost.begin_s == pytest.approx(0.01, rel=0.01)
    assert cost.table.step == GUESS.step


def test_a_picture_is_its_steps_and_its_decoding() -> None:
    cost = CostModel(EMBEDDED)
    steps_s = 25 * cost.step_s(Load.of([96]))
    assert cost.picture_s(Load.of([96]), 65536, 25) == pytest.approx(steps_s + cost.decode_s(65536))
