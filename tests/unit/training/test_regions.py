"""Finding things in a painting: masks, crops, counts and colours."""

import pytest
import torch
from torch import Tensor

from training.data.colours import OBJECT_COLOURS, to_rgb
from training.evaluate.judge import SIDE
from training.evaluate.regions import (
    background_of,
    count_things,
    crop_of,
    main_colour,
    thing_mask,
)


def canvas_with_squares(*places: tuple[int, int], side: int = 40) -> Tensor:
    picture = torch.ones(3, 256, 256)
    for top, left in places:
        picture[:, top : top + side, left : left + side] = 0.2
    return picture


def test_the_background_is_the_colour_of_most_corners() -> None:
    picture = torch.full((3, 64, 64), 0.3)
    picture[:, :20, :20] = 0.9
    assert torch.allclose(background_of(picture), torch.full((3,), 0.3))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_separate_squares_are_counted(count: int) -> None:
    places = [(20, 20), (20, 180), (180, 20), (180, 180)][:count]
    assert count_things(canvas_with_squares(*places)) == count


def test_crumbs_are_not_counted() -> None:
    picture = canvas_with_squares((100, 100))
    picture[:, 20:30, 20:30] = 0.2
    assert count_things(picture) == 1


def test_an_empty_picture_has_no_things() -> None:
    assert count_things(torch.ones(3, 256, 256)) == 0


def test_a_crop_has_the_thing_in_its_middle() -> None:
    picture = canvas_with_squares((10, 200))
    crop = crop_of(picture, thing_mask(picture))
    assert crop.shape == (3, SIDE, SIDE)
    assert crop[:, SIDE // 2, SIDE // 2].max() < 0.3
    assert crop[:, 0, 0].min() > 0.9


def test_a_crop_of_nothing_is_the_whole_picture() -> None:
    assert crop_of(torch.ones(3, 192, 352), torch.zeros(192, 352, dtype=torch.bool)).min() == 1


@pytest.mark.parametrize("name", sorted(set(OBJECT_COLOURS) - {"white"}))
def test_a_plain_square_has_its_colour(name: str) -> None:
    hsv = torch.tensor(OBJECT_COLOURS[name])[None, :, None, None]
    picture = torch.ones(3, 128, 128)
    picture[:, 30:90, 30:90] = to_rgb(hsv)[0]
    assert main_colour(picture) == name
