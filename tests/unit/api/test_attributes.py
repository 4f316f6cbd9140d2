import math

import pytest

from photogram.api.attributes import ATTRIBUTES, MAX_SEED, Attribute, read

BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}
NUMBERS = [each for each in ATTRIBUTES if each.kind in ("integer", "number")]


def test_defaults_are_those_of_the_contract() -> None:
    assert {each.name: each.default for each in ATTRIBUTES} == {
        "prompt": None,
        "samples": 1,
        "guidance": 3.5,
        "steps": 25,
        "prompt_strength": 0.8,
        "aspect_ratio": "1:1",
        "seed": 46588,
        "output_format": "webp",
        "output_quality": 80,
        "megapixels": "1",
        "base64": False,
        "previews": 0,
        "loras": (),
        "image": "",
        "mask": "",
    }


def test_limits_are_those_of_the_contract() -> None:
    assert {each.name: (each.minimum, each.maximum) for each in NUMBERS} == {
        "samples": (1, 4),
        "guidance": (0, 10),
        "steps": (1, 50),
        "prompt_strength": (0, 1),
        "seed": (-1, 2**53 - 1),
        "output_quality": (0, 100),
        "previews": (0, 10),
    }


@pytest.mark.parametrize("attribute", NUMBERS, ids=lambda each: each.name)
def test_both_ends_of_a_range_are_valid(attribute: Attribute) -> None:
    for end in (attribute.minimum, attribute.maximum):
        assert end is not None
        for spelling in (end, str(end), float(end), f" {end} "):
            assert read(attribute, spelling) == end


@pytest.mark.parametrize("attribute", NUMBERS, ids=lambda each: each.name)
def test_beyond_an_end_is_refused_with_the_limits(attribute: Attribute) -> None:
    assert attribute.minimum is not None
    assert attribute.maximum is not None
    beyond = 1 if attribute.kind == "integer" else 0.001
    for value in (attribute.minimum - beyond, attribute.maximum + beyond, 10**400, -(10**400)):
        with pytest.raises(ValueError, match=f"from {attribute.minimum} to {attribute.maximum}"):
            read(attribute, value)


@pytest.mark.parametrize("attribute", NUMBERS, ids=lambda each: each.name)
@pytest.mark.parametrize(
    "value",
    [
        *(True, False, math.nan, math.inf, -math.inf, [], {}, [1], {"a": 1}, b"1"),
        *("", " ", "one", "0x1", "1_0", "1,0", "NaN", "inf", "1e999", "\uff11", "9" * 5000),
    ],
)
def test_what_is_no_number_is_refused(attribute: Attribute, value: object) -> None:
    with pytest.raises(ValueError, match=attribute.name):
        read(attribute, value)


@pytest.mark.parametrize("value", [2.5, "2.5", 1e-9 + 2])
def test_a_fraction_is_no_whole_number(value: object) -> None:
    with pytest.raises(ValueError, match="whole number"):
        read(BY_NAME["samples"], value)


@pytest.mark.parametrize(
    ("value", "number"), [("2", 2), (2.0, 2), ("2.0", 2), ("+2", 2), ("2e0", 2)]
)
def test_numbers_in_strings_and_whole_floats_are_coerced(value: object, number: int) -> None:
    result = read(BY_NAME["samples"], value)
    assert result == number
    assert isinstance(result, int)


def test_large_seeds_keep_every_digit() -> None:
    assert read(BY_NAME["seed"], str(MAX_SEED)) == MAX_SEED
    assert read(BY_NAME["seed"], MAX_SEED - 1) == MAX_SEED - 1


def test_minus_zero_is_zero() -> None:
    assert math.copysign(1, read(BY_NAME["guidance"], -0.0)) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "choice"),
    [
        ("aspect_ratio", "1", "1:1"),
        ("aspect_ratio", "", "1:1"),
        ("aspect_ratio", 1, "1:1"),
        ("aspect_ratio", "21:9", "21:9"),
        ("output_format", "jpeg", "jpg"),
        ("output_format", "jpg", "jpg"),
        ("megapixels", 1, "1"),
        ("megapixels", 1.0, "1"),
        ("megapixels", "0.25", "0.25"),
        ("megapixels", 0.25, "0.25"),
    ],
)
def test_a_choice_may_be_spelt_in_several_ways(name: str, value: object, choice: str) -> None:
    assert read(BY_NAME[name], value) == choice


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aspect_ratio", "7:3"),
        ("aspect_ratio", True),
        ("aspect_ratio", []),
        ("aspect_ratio", 10**400),
        ("output_format", "avif"),
        ("output_format", "WEBP"),
        ("output_format", ""),
        ("megapixels", 2),
        ("megapixels", math.nan),
    ],
)
def test_another_choice_is_refused_with_the_allowed_ones(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=BY_NAME[name].choices[-1]):
        read(BY_NAME[name], value)


@pytest.mark.parametrize(
    ("value", "flag"), [(True, True), (False, False), ("true", True), ("false", False)]
)
def test_flags(value: object, flag: bool) -> None:
    assert read(BY_NAME["base64"], value) is flag


@pytest.mark.parametrize("value", [0, 1, "yes", "", []])
def test_what_is_no_flag_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="true or false"):
        read(BY_NAME["base64"], value)


@pytest.mark.parametrize(
    "prompt",
    [
        *("лиса", "狐", "ثعلب", "🦊", "ลูกหมาจิ้งจอก", "a\tb\nc", "\u202efox", "'\"<>&\\", "\x7f"),
        "x" * 10_000,
    ],
)
def test_prompts_in_any_script_are_served(prompt: str) -> None:
    assert read(BY_NAME["prompt"], prompt) == prompt


def test_prompts_are_trimmed_and_normalised() -> None:
    assert read(BY_NAME["prompt"], "  cafe\u0301\r\nnoir \n") == "café\nnoir"
    assert len(str(read(BY_NAME["prompt"], " " * 50 + "x" * 10_000))) == 10_000


@pytest.mark.parametrize("code", [code for code in range(32) if chr(code) not in "\n\t"])
def test_control_characters_in_prompts_are_refused(code: int) -> None:
    for prompt in (f"a{chr(code)}b", chr(code), f"fox{chr(code)}"):
        with pytest.raises(ValueError, match=f"U\\+{code:04X}"):
            read(BY_NAME["prompt"], prompt)


@pytest.mark.parametrize("prompt", ["", "  \n", "x" * 10_001, "a\ud800b", 7, True, ["a"], {}])
def test_what_is_no_prompt_is_refused(prompt: object) -> None:
    with pytest.raises(ValueError, match="prompt"):
        read(BY_NAME["prompt"], prompt)


def test_errors_show_only_a_little_of_the_value() -> None:
    with pytest.raises(ValueError, match="got") as refused:
        read(BY_NAME["aspect_ratio"], "x" * 100_000)
    assert len(str(refused.value)) < 300
