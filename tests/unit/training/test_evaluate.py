"""What is asked of a checkpoint, and how close a painting is to a real picture."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from training.autoencoder.codec import LinearCodec
from training.captions.scene import Scene, Thing
from training.data.held_out import is_held_out_combination
from training.data.items import Item, list_items
from training.data.pictures import Concept, Picture, PictureStore, load_concepts
from training.data.sources import SOURCES
from training.evaluate import sheets
from training.evaluate.copies import Gallery, copy_rates
from training.evaluate.measure import on_background
from training.evaluate.prompts import Prompt, PromptBook
from training.evaluate.real import load_real
from training.train.painter import Painter

CONCEPTS = [
    Concept("apple", "A", ("pome",), "apples", takes_colour=True),
    Concept("brick", "B", (), "bricks", takes_colour=True),
]


def disc(colour: tuple[int, int, int], radius: int) -> np.ndarray:
    y, x = np.mgrid[:256, :256]
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[(x - 128) ** 2 + (y - 128) ** 2 < radius**2] = (*colour, 255)
    return rgba


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    for index, source in enumerate(SOURCES):
        shown = [disc((30 * index, 90, 40), 110), disc((200, 20 * index, 120), 60)]
        save_file({"rgba": np.stack(shown)}, tmp_path / f"{source.key}.safetensors")
        rows = [{"emoji": "A"}, {"emoji": "B"}]
        (tmp_path / f"{source.key}.json").write_text(json.dumps(rows))
    return PictureStore(tmp_path)


@pytest.fixture
def gallery(store: PictureStore) -> Gallery:
    items = list_items(store, CONCEPTS)
    codec = LinearCodec(torch.zeros(3, 16, 16), *torch.zeros(2, 16, 3, 16, 16))
    return Gallery(Painter(store, items, codec, torch.device("cpu")), items)


def prompt_for(gallery: Gallery, row: int, background: str = "teal") -> Prompt:
    item = gallery.items[row]
    return Prompt("", Scene((Thing(row, item.concept),), item.picture.source, background))


def test_thumbnails_are_the_same_from_the_cache(store: PictureStore, tmp_path: Path) -> None:
    made = load_real(store, CONCEPTS, tmp_path / "cache")
    kept = load_real(store, CONCEPTS, tmp_path / "cache")
    assert torch.equal(made.rgba, kept.rgba)
    assert made.rgba[0, 3, 32, 32] == 255
    assert made.rgba[0, :, 0, 0].sum() == 0
    assert float(kept.on_white(torch.arange(4)).max()) <= 1


def test_a_real_picture_is_a_copy_of_itself_on_any_background(gallery: Gallery) -> None:
    prompts = [prompt_for(gallery, row) for row in range(len(gallery.items))]
    real = gallery.painter.pictures([prompt.scene for prompt in prompts], 256, 256) / 2 + 0.5
    rates = copy_rates(gallery, prompts, real, set(), tolerance=0.02)
    assert rates["of_the_pair"] == rates["nearest_is_the_pair"] == 1
    assert on_background(prompts, real) == 1


def test_a_picture_that_training_never_saw_is_no_copy_but_may_be_hit(gallery: Gallery) -> None:
    prompts = [prompt_for(gallery, 3)]
    real = gallery.painter.pictures([prompts[0].scene], 256, 256) / 2 + 0.5
    rates = copy_rates(gallery, prompts, real, {3}, tolerance=0.02)
    assert rates["copies"] == 0
    assert rates["nearest_is_the_pair"] == 1


@pytest.fixture(scope="module")
def book() -> PromptBook:
    concepts = load_concepts(240)
    items = [
        Item(index, Picture(source.key, 0, concept.emoji))
        for index, concept in enumerate(concepts)
        for source in SOURCES
    ]
    return PromptBook(concepts, items)


def test_held_out_couples_are_held_out_and_seen_ones_are_not(book: PromptBook) -> None:
    for held_out in (True, False):
        prompts = book.couples(50, seed=1, held_out=held_out)
        assert len(prompts) == 50
        for prompt in prompts:
            names = [book.concepts[thing.concept].name for thing in prompt.scene.things]
            assert is_held_out_combination(*names) == held_out
            assert all(name in prompt.text for name in names)


def test_seen_pairs_hold_no_held_out_pair(book: PromptBook) -> None:
    assert not book.held_out & set(book.seen_rows(500, seed=2))
    assert len(book.held_out) >= 150


def test_a_keyword_prompt_does_not_name_the_thing(book: PromptBook) -> None:
    for prompt in book.synonyms(seed=3, bare=True):
        assert prompt.text in book.concepts[prompt.concept].synonyms


def test_a_sheet_fits_its_limit_and_wraps_its_texts(tmp_path: Path) -> None:
    pictures = [np.full((192, 352, 3), 40 * i, np.uint8) for i in range(5)]
    image = sheets.sheet(pictures, ["a very long sentence about nothing"] * 5, 3, 60, lines=2)
    assert image.size == (180, 2 * (60 + 2 * sheets.LINE))
    sheets.save(image, tmp_path / "deep" / "sheet.webp", limit=5_000)
    assert (tmp_path / "deep" / "sheet.webp").stat().st_size <= 5_000
    with pytest.raises(ValueError, match="does not fit"):
        sheets.save(image, tmp_path / "sheet.webp", limit=100)
