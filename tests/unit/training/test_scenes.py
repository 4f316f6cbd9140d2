"""Scenes: what is drawn, where it is laid, what is said, and what is never shown."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch

from training.autoencoder.codec import LinearCodec
from training.captions.grammar import LONG, MIDDLE, SHORT, CaptionWriter, article
from training.captions.scene import PLACES, Scene, SceneSampler, Thing, layout
from training.data.colours import BACKGROUNDS, OBJECT_COLOURS, colour_of, recolour, to_hsv, to_rgb
from training.data.held_out import (
    held_out_combinations,
    held_out_pairs,
    is_held_out_combination,
)
from training.data.items import Item
from training.data.pictures import Picture, load_concepts
from training.data.sources import SOURCES
from training.train.painter import Painter
from training.train.phases import HALF, NATIVE, SQUARE

CONCEPTS = load_concepts(240)
ITEMS = [
    Item(i, Picture(source.key, i, concept.emoji))
    for i, concept in enumerate(CONCEPTS)
    for source in SOURCES
]
CANVASES = (SQUARE, *NATIVE, *HALF)


class SquarePictures:
    """Stands where the drawn pictures are: every item is an opaque square in one of three colours."""

    COLOURS = ((214, 40, 40), (40, 200, 60), (60, 80, 220))

    def rgba(self, picture: Picture) -> np.ndarray:
        rgba = np.zeros((256, 256, 4), np.uint8)
        rgba[32:224, 32:224] = (*self.COLOURS[picture.row % 3], 255)
        return rgba


@pytest.fixture(scope="module")
def painter() -> Painter:
    pictures = np.random.default_rng(0).random((8, 64, 64, 3)).astype(np.float32)
    return Painter(SquarePictures(), ITEMS[:48], LinearCodec.fit(pictures), torch.device("cpu"))


def sampler(seed: int = 0) -> SceneSampler:
    return SceneSampler(ITEMS, CONCEPTS, seed, [1.0] * len(CONCEPTS))


def test_at_least_150_pairs_and_60_couples_are_held_out():
    assert len(held_out_pairs(ITEMS)) >= 150
    couples = held_out_combinations(CONCEPTS, 100)
    assert len(couples) == len(set(couples)) == 100
    assert couples == held_out_combinations(CONCEPTS, 100)


def test_a_held_out_couple_is_held_out_in_both_orders():
    names = [concept.name for concept in CONCEPTS[:60]]
    for first, second in combinations(names, 2):
        assert is_held_out_combination(first, second) == is_held_out_combination(second, first)


def test_sampler_never_shows_what_is_held_out_and_shows_every_concept():
    hidden, draw = held_out_pairs(ITEMS), sampler()
    shown: Counter[int] = Counter()
    for _ in range(6000):
        scene = draw.draw()
        for thing in scene.things:
            shown[thing.concept] += 1
            assert thing.item not in hidden
            assert ITEMS[thing.item].concept == thing.concept
            assert ITEMS[thing.item].picture.source == scene.source
            assert thing.colour is None or CONCEPTS[thing.concept].takes_colour
        if len(scene.things) == 2:
            first, second = (CONCEPTS[thing.concept].name for thing in scene.things)
            assert first != second
            assert not is_held_out_combination(first, second)
        assert scene.count == 1 or CONCEPTS[scene.things[0].concept].plural
    assert len(shown) == len(CONCEPTS)


def test_most_scenes_are_one_thing_in_its_own_colours():
    draw = sampler(1).draw
    scenes = [draw() for _ in range(1500)]
    single = [
        s
        for s in scenes
        if len(s.things) == s.count == 1
        and s.things[0].colour is None
        and (s.size, s.place) == ("normal", "middle")
    ]
    assert 0.54 < len(single) / len(scenes) < 0.64


def test_sampler_is_repeatable_by_seed():
    first, second = sampler(7), sampler(7)
    assert [first.draw() for _ in range(50)] == [second.draw() for _ in range(50)]


@pytest.mark.parametrize("canvas", CANVASES)
def test_things_lie_whole_on_every_canvas_and_two_do_not_overlap(canvas):
    draw = sampler(3)
    for _ in range(400):
        scene = draw.draw()
        squares = layout(scene, *canvas)
        assert len(squares) == max(scene.count, len(scene.things))
        for square in squares:
            if scene.size != "huge":
                assert square.left >= -1
                assert square.top >= -1
                assert square.left + square.side <= canvas[0] + 1
                assert square.top + square.side <= canvas[1] + 1
        for a, b in combinations(squares, 2):
            apart = max(
                abs(a.left + a.side / 2 - b.left - b.side / 2),
                abs(a.top + a.side / 2 - b.top - b.side / 2),
            )
            assert apart >= a.side - 1


def test_relations_put_the_first_thing_where_the_words_say():
    things = (Thing(0, 0), Thing(8, 1))
    for relation, axis, sign in (
        ("left", 0, -1),
        ("right", 0, 1),
        ("above", 1, -1),
        ("below", 1, 1),
    ):
        scene = Scene(things, "noto", "white", relation=relation)
        for canvas in CANVASES:
            where = {s.thing: (s.left, s.top) for s in layout(scene, *canvas)}
            assert sign * (where[0][axis] - where[1][axis]) > 0


def test_sentences_say_every_meaning_of_their_scene():
    writer = CaptionWriter(CONCEPTS, ["filler", "words"], seed=0)
    draw = sampler(5)
    for turn in range(2000):
        scene = draw.draw()
        text = writer.write(scene, (SHORT, MIDDLE, LONG)[turn % 3]).lower()
        for thing in scene.things:
            concept = CONCEPTS[thing.concept]
            words = (concept.name, *concept.synonyms, concept.plural or concept.name)
            assert any(word.lower() in text for word in words)
        if scene.background != "white":
            assert " on " in text or "background" in text or "backdrop" in text
        assert "{" not in text


def test_long_sentences_stay_within_64_tokens_of_whole_words():
    writer = CaptionWriter(CONCEPTS, ["filler"], seed=0)
    draw = sampler(6)
    lengths = [len(writer.write(draw.draw(), LONG).split()) for _ in range(1000)]
    assert max(lengths) <= 50
    assert max(lengths) > 30


def test_article_follows_the_first_letter():
    assert article("apple") == "an apple"
    assert article("cat") == "a cat"


def test_hsv_goes_there_and_back():
    rgb = torch.rand(2, 3, 8, 8)
    assert torch.allclose(to_rgb(to_hsv(rgb)), rgb, atol=1e-5)


@pytest.mark.parametrize("name", OBJECT_COLOURS)
def test_recoloured_things_have_the_named_colour_and_keep_their_outline(name):
    rgba = torch.zeros(1, 4, 16, 16)
    rgba[:, 0, 2:14, 2:14], rgba[:, 1, 2:14, 2:14] = 0.8, 0.1
    rgba[:, 2, 2:14, 2:14] = 0.1
    rgba[:, 3, 2:14, 2:14] = 1.0
    painted = recolour(rgba, [name])
    assert torch.equal(painted[:, 3], rgba[:, 3])
    hue, saturation, value = to_hsv(painted[:, :3])[0, :, 8, 8].tolist()
    wanted = OBJECT_COLOURS[name]
    assert abs(value - wanted[2]) < 0.06
    assert abs(saturation - wanted[1]) < 0.06
    assert wanted[1] < 0.1 or min(abs(hue - wanted[0]), 1 - abs(hue - wanted[0])) < 0.03


def test_painter_lays_things_on_the_background_where_the_layout_says(painter):
    things = (Thing(0, 0), Thing(8, 1))
    scene = Scene(things, "fluent3d", "blue", relation="left")
    for width, height in CANVASES:
        picture = painter.pictures([scene], width, height)[0] / 2 + 0.5
        assert torch.allclose(picture[:, 0, 0], torch.tensor(colour_of("blue")), atol=1e-5)
        for square, colour in zip(
            layout(scene, width, height), SquarePictures.COLOURS, strict=False
        ):
            middle = square.side // 2
            found = picture[:, square.top + middle, square.left + middle]
            assert torch.allclose(found, torch.tensor(colour) / 255, atol=0.02)


def test_painter_paints_a_scene_the_same_alone_and_in_a_batch(painter):
    scenes = [
        Scene((Thing(i, i // 8, colour),), "noto", background, count=count)
        for i, (colour, background, count) in enumerate(
            [(None, "white", 1), ("blue", "red", 3), ("green", "grey", 2)]
        )
    ]
    together = painter.latents(scenes, *SQUARE)
    alone = torch.cat([painter.latents([scene], *SQUARE) for scene in scenes])
    assert torch.allclose(together, alone, atol=1e-5)
    assert together.shape == (3, 16, 16, 16)


def test_every_place_and_background_has_a_name_in_captions():
    assert set(PLACES) > {"left", "right", "top", "bottom"}
    assert next(iter(BACKGROUNDS)) == "white"
