import math

import pytest

from benchmarks.gates import OURS_FLOAT32, PEER, REFERENCE, problem, told
from benchmarks.points import OURS

GOOD = {OURS: 3e-3, OURS_FLOAT32: 1e-6, PEER: 4e-2, REFERENCE: 0.0}


def test_exact_engines_are_timed() -> None:
    assert problem(GOOD) is None


@pytest.mark.parametrize("error", [2e-4, math.nan])
def test_float32_has_to_be_diffusers_float32(error: float) -> None:
    assert OURS_FLOAT32 in (problem(GOOD | {OURS_FLOAT32: error}) or "")


@pytest.mark.parametrize("error", [5e-2, math.nan])
def test_bfloat16_may_not_be_worse_than_diffusers_bfloat16(error: float) -> None:
    assert PEER in (problem(GOOD | {OURS: error}) or "")


def test_the_remark_names_every_engine_but_the_reference() -> None:
    assert told("here", GOOD) == (
        "here: relative error against diffusers float32: photogram 3.0e-03, "
        "photogram float32 1.0e-06, diffusers bfloat16 4.0e-02"
    )
