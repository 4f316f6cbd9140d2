"""One evaluation from start to end: paint a set, measure it, measure real pictures the same way, write it down.

Comes in: the judge, the real pictures and a studio. Goes out: `report`, plain data, and sheets. Wherever a set asks
for scenes, the same scenes laid out from real pictures of the style that the judge never saw give the `ceiling`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.captions.scene import Scene
from training.evaluate import measure, plan, sheets
from training.evaluate.copies import copy_rates, copy_tolerance, twins
from training.evaluate.frechet import frechet_distance
from training.evaluate.judge import UNSEEN_STYLE
from training.evaluate.measure import Bench, Row
from training.evaluate.paint import Pixels, Studio, agreement, to_tensor
from training.evaluate.prompts import DEFAULT_STYLE, Prompt, PromptBook
from training.evaluate.real import RealPictures
from training.evaluate.regions import count_things
from training.train.painter import Painter

Measure = Callable[[Bench, list[Prompt], Tensor], Row]
CONTACT_LIMIT, SHEET_LIMIT = 150_000, 150_000
PAINT_AT_ONCE = 480  # pictures of the Fréchet set: more would fill the memory


@dataclass(frozen=True, slots=True)
class Room:
    """What an evaluation needs beside a studio."""

    book: PromptBook
    real: RealPictures
    bench: Bench
    painter: Painter
    folder: Path

    def real_pictures(self, prompts: list[Prompt], style: str = UNSEEN_STYLE) -> Tensor:
        """Return the asked scenes from real pictures of `style`, (N, 3, 256, 256) in [0, 1]."""
        scenes = [self.in_style(prompt.scene, style) for prompt in prompts]
        parts = [
            self.painter.pictures(scenes[i : i + 64], 256, 256) for i in range(0, len(scenes), 64)
        ]
        return torch.cat(parts).clamp(-1, 1) / 2 + 0.5

    def in_style(self, scene: Scene, style: str) -> Scene:
        """Return the same scene from another set; a thing that the set lacks stays as it is."""
        rows = self.book.rows
        things = tuple(replace(t, item=rows[t.concept].get(style, t.item)) for t in scene.things)
        return replace(scene, things=things, source=style)


class Exam:
    """Fills `report` part by part."""

    def __init__(
        self, room: Room, studio: Studio, settings: plan.Settings, contact: Path, folder: Path
    ) -> None:
        self.room, self.studio, self.settings = room, studio, settings
        self.contact, self.folder = contact, folder
        self.report: dict[str, Any] = {
            "concepts": len(room.book.concepts),
            "steps": settings.steps,
            "guidance": settings.guidance,
            "prompts": {},
            "references": self._references(),
        }
        self._styled: dict[str, tuple[list[Prompt], Tensor]] = {}

    def everything(self) -> None:
        """Run every part but the plain prompts."""
        self.named()
        self.scenes()
        self.canvases()
        self.guidances()
        self.copies()
        self.frechet()
        self.agreement()

    def paint(self, prompts: list[Prompt]) -> tuple[list[Pixels], Tensor]:
        """Return square pictures as pixels and as one tensor."""
        pictures = self.studio.paint(self.settings.shots(prompts))
        return pictures, torch.stack([to_tensor(picture) for picture in pictures])

    def put(self, name: str, row: object) -> None:
        """Write one part into the report and say so."""
        self.report[name] = row
        print(json.dumps({name: row}), flush=True)

    def with_ceiling(
        self, measured: Measure, prompts: list[Prompt], pictures: Tensor
    ) -> dict[str, Any]:
        """Return a row with the same figures of real pictures in it."""
        real = self.room.real_pictures(prompts)
        bench = self.room.bench
        return measured(bench, prompts, pictures) | {"ceiling": measured(bench, prompts, real)}

    def plain_sheet(self) -> None:
        """Judge the bare prompts, beside shuffled ones, and draw the contact sheet."""
        concepts = self.room.book.concepts
        prompts = self.room.book.plain()[:: self.settings.every]
        pixels, pictures = self.paint(prompts)
        names = [concepts[prompt.concept].name for prompt in prompts]
        image = sheets.sheet(pixels, names, columns=16, side=72)
        sheets.save(image, self.contact, CONTACT_LIMIT)
        self._add_named("plain", prompts, pictures)
        table = self.report["prompts"]
        table["plain, shuffled prompts"] = measure.shuffled(self.room.bench, prompts, pictures)
        weak = self._unnamed(prompts, pictures)
        self.put("not_named", [concepts[index].name for index in weak])

    def _unnamed(self, prompts: list[Prompt], pictures: Tensor) -> list[int]:
        answers = self.room.bench.logits(measure.shrink(pictures)).argmax(1)
        return [p.concept for p, a in zip(prompts, answers, strict=True) if p.concept != int(a)]

    def _add_named(self, name: str, prompts: list[Prompt], pictures: Tensor) -> None:
        row = measure.in_style(self.room.bench, prompts, pictures)
        real = self.room.real_pictures(prompts)
        ceiling = measure.named(self.room.bench, prompts, real)
        self.report["prompts"][name] = row | {"ceiling": ceiling}
        print(json.dumps({name: self.report["prompts"][name]}), flush=True)

    def named(self) -> None:
        """Judge the other sets of one thing."""
        for name, prompts in plan.named_sets(self.room.book, self.settings.every).items():
            if name == "plain" or not prompts:
                continue
            _, pictures = self.paint(prompts)
            self._add_named(name, prompts, pictures)
            if name in (plan.SEEN, plan.HELD_OUT):
                self._styled[name] = (prompts, pictures)
        prompts = [prompt for part, _ in self._styled.values() for prompt in part]
        pictures = torch.cat([part for _, part in self._styled.values()])
        self.put("background", measure.on_background(prompts, pictures))
        self.put("background_n", len(prompts))

    def scenes(self) -> None:
        """Judge colours, couples, numbers and places, and draw some of them."""
        kinds: dict[str, Measure] = {
            "colours": measure.in_colour,
            "couples seen": measure.coupled,
            "couples held out": measure.coupled,
            "counts": measure.counted,
            "places": measure.placed,
        }
        shown: list[tuple[Pixels, str]] = []
        sets = plan.scene_sets(self.room.book, self._countable(), self.settings.every)
        for name, prompts in sets.items():
            pixels, pictures = self.paint(prompts)
            self.put(name.replace(" ", "_"), self.with_ceiling(kinds[name], prompts, pictures))
            step = max(1, len(prompts) // 10)
            shown += [(pixels[i], prompts[i].text) for i in range(0, len(prompts), step)][:10]
        image = sheets.sheet(
            [p for p, _ in shown], [t for _, t in shown], columns=10, side=120, lines=2
        )
        sheets.save(image, self.folder / "compositions.webp", SHEET_LIMIT)

    def _countable(self) -> list[int]:
        """Return concepts of which any number of real pictures is counted right, so that counting means something."""
        book = self.room.book
        able = [i for i in book.everything if book.concepts[i].plural]
        for count in (1, 2, 3, 4):
            plain = [book.single(i, "") for i in able]
            prompts = [replace(p, scene=replace(p.scene, count=count)) for p in plain]
            real = self.room.real_pictures(prompts, DEFAULT_STYLE)
            able = [
                i for i, picture in zip(able, real, strict=True) if count_things(picture) == count
            ]
        return able

    def _some(self) -> list[Prompt]:
        prompts = self.room.book.plain()
        return prompts[:: max(1, len(prompts) // plan.SOME)][: plan.SOME]

    def canvases(self) -> None:
        """Judge every canvas of the profile and its half."""
        prompts = self._some()[:: self.settings.every]
        rows, shown = {}, []
        for name, (width, height) in plan.canvases(self.room.folder).items():
            pixels = self.studio.paint(self.settings.shots(prompts, width, height))
            row = measure.cropped(self.room.bench, prompts, [to_tensor(p) for p in pixels])
            rows[name] = {"width": width, "height": height} | row
            if not name.endswith(plan.HALF):
                shown += [(picture, name) for picture in pixels[:8]]
        real = list(self.room.real_pictures(prompts))
        self.put("canvases", rows)
        self.put("canvases_ceiling", measure.cropped(self.room.bench, prompts, real))
        image = sheets.sheet(
            [p for p, _ in shown], [t for _, t in shown], columns=min(8, len(prompts)), side=120
        )
        sheets.save(image, self.folder / "ratios.webp", SHEET_LIMIT)

    def guidances(self) -> None:
        """Judge the same prompts over guidance."""
        prompts = self._some()[:: self.settings.every]
        rows: dict[str, Row] = {}
        shown: list[tuple[Pixels, str]] = []
        for guidance in plan.GUIDANCES:
            shots = replace(self.settings, guidance=guidance).shots(prompts)
            pixels = self.studio.paint(shots)
            pictures = torch.stack([to_tensor(picture) for picture in pixels])
            rows[f"{guidance:g}"] = measure.named(self.room.bench, prompts, pictures)
            shown += [(picture, f"guidance {guidance:g}") for picture in pixels[:10]]
        self.put("guidances", rows)
        image = sheets.sheet(
            [p for p, _ in shown], [t for _, t in shown], columns=min(10, len(prompts)), side=104
        )
        sheets.save(image, self.folder / "guidance.webp", SHEET_LIMIT)

    def copies(self) -> None:
        """Count the paintings that are real pictures in all but name."""
        gallery, book = self.room.bench.gallery, self.room.book
        rows = book.seen_rows(48, seed=16)
        tolerance = copy_tolerance(self.room.folder, gallery, rows)
        table: dict[str, Any] = {
            "tolerance": round(tolerance, 4),
            "twins": twins(gallery, tolerance),
        }
        for key, name in (("seen", plan.SEEN), ("held_out", plan.HELD_OUT)):
            prompts, pictures = self._styled[name]
            table[key] = copy_rates(gallery, prompts, pictures, book.held_out, tolerance)
        scenes = [prompt.scene for prompt in prompts]
        real = self.room.painter.pictures(scenes, 256, 256) / 2 + 0.5
        table["held_out_real"] = copy_rates(gallery, prompts, real, book.held_out, tolerance)
        self.put("copies", table)

    def frechet(self) -> None:
        """Measure the distance between many quick paintings and the real pictures of the same scenes."""
        prompts = plan.frechet_prompts(self.room.book, self.settings.every)
        quick = replace(self.settings, steps=plan.FRECHET_STEPS).shots(prompts)
        painted, real = [], []
        for start in range(0, len(prompts), PAINT_AT_ONCE):
            part = slice(start, start + PAINT_AT_ONCE)
            pixels = self.studio.paint(quick[part])
            painted.append(measure.shrink(torch.stack([to_tensor(p) for p in pixels])))
            scenes = [prompt.scene for prompt in prompts[part]]
            real.append(self.room.painter.pictures(scenes, 64, 64) / 2 + 0.5)
        bench = self.room.bench
        ours, theirs = bench.features(torch.cat(painted)), bench.features(torch.cat(real))
        mixed = torch.randperm(len(ours), generator=torch.Generator().manual_seed(17))
        one, two = mixed[::2], mixed[1::2]
        row = measure.rates(bench.logits(torch.cat(painted)), measure.labels_of(prompts))
        distances = {
            "painted_to_real": frechet_distance(ours, theirs),
            "painted_half_to_other_real_half": frechet_distance(ours[one], theirs[two]),
            "real_half_to_other_real_half": frechet_distance(theirs[one], theirs[two]),
        }
        rounded = {name: round(value, 3) for name, value in distances.items()}
        self.put("frechet", {"steps": plan.FRECHET_STEPS} | row | rounded)

    def agreement(self) -> None:
        """Compare with diffusers' pictures."""
        shots = self.settings.shots(self._some()[::3])
        decibels = [round(value, 1) for value in agreement(self.room.folder, shots)]
        self.put("diffusers_psnr", decibels)

    def _references(self) -> dict[str, Row]:
        """Return the judge's rates on real pictures, of the unseen style and of those it learned from."""
        real, bench = self.room.real, self.room.bench
        asked = real.labels < bench.num_concepts
        rows = {
            "real pictures, unseen style (ceiling)": asked & real.is_unseen,
            "real pictures, judge's own": asked & ~real.is_unseen,
        }
        table = {}
        for name, chosen in rows.items():
            logits = bench.logits(real.on_white(torch.where(chosen)[0]))
            table[name] = measure.rates(logits, real.labels[chosen])
        count = bench.num_concepts
        table["chance"] = {"n": count, "top1": round(1 / count, 4), "top5": round(5 / count, 4)}
        return table
