"""``python -m bench.suspects``: which planted mistakes the rules about labels find, and what else they name.

Takes the labels of COCO files as the truth, lets a noisy detector (``bench.noisy_detector``) see them, plants
mistakes (``bench.planted``) in 5 % of what people drew, and has the rules look as `detseg qa` does. Prints
the share that was found of every kind, the false alarms of every rule per 100 images without a mistake, its
lift (share of images with a mistake among those that it names / among all), and the precision of the first 50
of the list. All are means over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

import numpy as np

from bench.noisy_detector import DETECTORS, NoisyDetector
from bench.planted import MISTAKES, Planted, Spot
from detseg.geometry.boxes import box_iou, xywh_to_box
from detseg.geometry.extent import instance_iou_matrix
from detseg.geometry.masks import decode_mask
from detseg.geometry.matching import match_by_label
from detseg.metrics.cases import Case
from detseg.metrics.suspects.findings import Suspect, Suspects
from detseg.metrics.suspects.rules import RULES
from detseg.metrics.suspects.tally import SuspectTally
from detseg.taxonomy import Taxonomy, taxonomy_of_labels
from detseg.types import Annotation, Arm, Box, ImageId, Instance, ModelVersion, Region, RegionId, Size

Rng = np.random.Generator

LEFT_FROM_IOU = 0.7
"""With help, people redraw what is worse than this and leave the rest."""
N_FIRST = 50


@dataclass(frozen=True, slots=True)
class Labeled:
    """A dataset: its taxonomy, and the truth of each image."""

    taxonomy: Taxonomy
    images: tuple[Annotation, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.taxonomy.classes)


@dataclass(frozen=True, slots=True)
class Setting:
    """A world to plant mistakes in: the detector, the arm, the kinds of mistakes, their share of regions."""

    detector: NoisyDetector
    arm: Arm = "control"
    kinds: tuple[str, ...] = tuple(MISTAKES)
    share: float = 0.05


@dataclass(slots=True)
class Tallied:
    """Counts over seeds."""

    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    false_alarms: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    """images that a rule names"""
    named_rightly: Counter[str] = field(default_factory=Counter)
    """of these, with a mistake"""
    n_clean: int = 0
    n_images: int = 0
    wrong_first: Counter[str] = field(default_factory=Counter)
    """what is wrong among the first of the list, by rule"""
    precisions: list[float] = field(default_factory=list)

    def add(self, result: Suspects, planted: dict[ImageId, list[tuple[str, Planted]]], n_images: int) -> None:
        by_image: dict[ImageId, list[Suspect]] = {}
        for suspect in result.ranked:
            by_image.setdefault(suspect.image, []).append(suspect)
        for image, mistakes in planted.items():
            for kind, mistake in mistakes:
                self.planted[kind] += 1
                self.found[kind] += any(_names(one, mistake) for one in by_image.get(image, ()))
        for image, suspects in by_image.items():
            rules = {one.rule for one in suspects}
            self.named.update(rules)
            if image in planted:
                self.named_rightly.update(rules)
            else:
                self.false_alarms.update(one.rule for one in suspects)
        self.n_images += n_images
        self.n_clean += n_images - len(planted)
        first = result.ranked[:N_FIRST]
        right = [any(_names(s, m) or s.region is None for _, m in planted.get(s.image, ())) for s in first]
        self.wrong_first.update(s.rule for s, is_right in zip(first, right, strict=True) if not is_right)
        self.precisions.append(float(np.mean(right)) if right else 1.0)

    def lift(self, rule: str) -> float:
        """Images with a mistake: their share of those that the rule names / their share of all."""
        return self.named_rightly[rule] / self.named[rule] / (1 - self.n_clean / self.n_images)

    def to_json(self) -> dict[str, object]:
        return {
            "planted": dict(sorted(self.planted.items())),
            "found": {kind: round(self.found[kind] / n, 3) for kind, n in sorted(self.planted.items())},
            "false_alarms_per_100": {
                rule: round(n / self.n_clean * 100, 2) for rule, n in sorted(self.false_alarms.items())
            },
            "lift": {rule: round(self.lift(rule), 2) for rule in sorted(self.named)},
            f"precision_at_{N_FIRST}": round(float(np.mean(self.precisions)), 3),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.suspects", description=__doc__)
    parser.add_argument(
        "--images", type=Path, required=True, help="folder of datasets with an instances.json"
    )
    parser.add_argument("--datasets", nargs="+", default=["bccd", "nuclei"])
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=["good"])
    parser.add_argument("--arms", nargs="+", choices=("control", "assisted"), default=["control"])
    parser.add_argument("--kinds", nargs="+", choices=MISTAKES, default=list(MISTAKES))
    parser.add_argument("--alone", action="store_true", help="each kind in a world of its own")
    parser.add_argument("--share", type=float, default=0.05, help="of the regions, in [0, 1]")
    parser.add_argument(
        "--seeds", type=int, nargs=2, default=(0, 5), help="the first one, and the one after the last"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    kinds = [(kind,) for kind in options.kinds] if options.alone else [tuple(options.kinds)]
    for name in options.datasets:
        labeled = read_labeled(options.images / name / "instances.json")
        for detector in options.detectors:
            for arm in options.arms:
                for some in kinds:
                    setting = Setting(DETECTORS[detector], arm, some, options.share)
                    tallied = measure(labeled, setting, range(*options.seeds))
                    if tallied.planted:
                        title = f"{name}, {detector} detector, {arm}, {', '.join(some)}"
                        _print(title, tallied, as_json=options.json)
    return 0


def measure(labeled: Labeled, setting: Setting, seeds: Sequence[int]) -> Tallied:
    """Plant and look, once for each seed."""
    tallied = Tallied()
    for seed in seeds:
        tally = SuspectTally(labeled.taxonomy)
        planted: dict[ImageId, list[tuple[str, Planted]]] = {}
        for case, mistakes in make_cases(labeled, setting, np.random.default_rng(seed)):
            tally.add(case)
            if mistakes:
                planted[case.image] = mistakes
        tallied.add(tally.result(), planted, len(labeled.images))
    return tallied


def make_cases(
    labeled: Labeled, setting: Setting, rng: Rng
) -> Iterator[tuple[Case, list[tuple[str, Planted]]]]:
    """Every image as it was reviewed, with the mistakes in it."""
    kinds = cycle(rng.permutation(setting.kinds).tolist())
    for truth in labeled.images:
        seen = setting.detector.see(truth.regions, truth.size, labeled.labels, rng)
        right = _redrawn(truth.regions, seen) if setting.arm == "assisted" else truth.regions
        drawn, mistakes = _err(replace(truth, regions=right), labeled.labels, setting, kinds=kinds, rng=rng)
        yield _case(truth, seen, drawn, setting.arm), mistakes


def _err(
    right: Annotation, labels: tuple[str, ...], setting: Setting, *, kinds: Iterator[str], rng: Rng
) -> tuple[tuple[Region, ...], list[tuple[str, Planted]]]:
    """The regions with mistakes, of which no two touch the same region."""
    regions, touched = right.regions, set[str]()
    mistakes: list[tuple[str, Planted]] = []
    for wrong in [region for region in right.regions if rng.random() < setting.share]:
        for _ in setting.kinds if wrong.id not in touched else ():
            kind = next(kinds)
            at = next(i for i, region in enumerate(regions) if region.id == wrong.id)
            planted = MISTAKES[kind](Spot(regions, at, right.size, labels, rng))
            if planted is None:
                continue
            gone = {one.id for one in regions} - {one.id for one in planted.regions}
            if not touched & {*gone, *planted.wrong}:
                touched |= {*gone, *planted.wrong}
                regions = planted.regions
                mistakes.append((kind, planted))
                break
    return regions, mistakes


def _redrawn(truth: Sequence[Region], seen: Sequence[Region]) -> tuple[Region, ...]:
    """Return what people make of the model's regions: they leave what is nearly right and draw the rest.

    Regions that the model had keep its id.
    """
    iou = instance_iou_matrix([one.instance for one in truth], [one.instance for one in seen])
    labels, seen_labels = ([one.instance.label for one in regions] for regions in (truth, seen))
    met = dict(match_by_label(labels, seen_labels, iou, min_iou=0.3))
    made = []
    for i, region in enumerate(truth):
        if i not in met:
            made.append(region)
            continue
        own = seen[met[i]]
        kept = own.instance if iou[i, met[i]] >= LEFT_FROM_IOU else region.instance
        made.append(Region(own.id, "model", replace(kept, score=None)))
    return tuple(made)


def _case(truth: Annotation, seen: tuple[Region, ...], drawn: tuple[Region, ...], arm: Arm) -> Case:
    return Case(
        image=truth.image,
        uri=f"{truth.image}.png",
        task_id=1,
        task_url="",
        arm=arm,
        model_version=ModelVersion("noisy@00000001"),
        prediction=replace(truth, author="noisy@00000001", regions=seen, state="labeled"),
        reviews=(replace(truth, regions=drawn, state="labeled" if drawn else "empty"),),
    )


def _names(suspect: Suspect, mistake: Planted) -> bool:
    """Tell whether a suspect is that mistake: it names a wrong region, or the place where it was planted."""
    if suspect.region in mistake.wrong:
        return True
    return suspect.box is not None and suspect.region is not None and _near(suspect.box, mistake.place)


def _near(box: Box, place: Box) -> bool:
    """The place is where the suspect's box is, give or take how well the detector places its boxes."""
    x, y = (place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2
    return box_iou(box, place) >= 0.3 and box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def read_labeled(file: Path) -> Labeled:
    """A COCO file's images as they were labeled; crowds left out."""
    data = json.loads(file.read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in data["categories"]}
    regions: dict[int, list[Region]] = {image["id"]: [] for image in data["images"]}
    for entry in data["annotations"]:
        if not entry.get("iscrowd"):
            runs = entry.get("segmentation")
            mask = decode_mask(runs) if isinstance(runs, dict) else None
            instance = Instance(names[entry["category_id"]], "thing", xywh_to_box(entry["bbox"]), mask)
            regions[entry["image_id"]].append(Region(RegionId(f"t{entry['id']}"), "person", instance))
    used = {region.instance.label for those in regions.values() for region in those}
    return Labeled(
        taxonomy_of_labels(sorted(used)),
        tuple(
            Annotation(
                ImageId(f"sha256:{image['id']}"),
                Size(image["width"], image["height"]),
                "ann",
                "labeled" if regions[image["id"]] else "empty",
                tuple(regions[image["id"]]),
            )
            for image in data["images"]
        ),
    )


def _print(title: str, tallied: Tallied, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"world": title, **tallied.to_json()}), flush=True)
        return
    print(f"\n## {title}")
    for kind, n in sorted(tallied.planted.items()):
        print(f"{kind:18} planted {n:5}  found {tallied.found[kind] / n:6.1%}")
    for rule in RULES:
        if tallied.named[rule.name]:
            alarms = tallied.false_alarms[rule.name] / tallied.n_clean * 100
            print(f"{rule.name:18} false alarms {alarms:6.2f}  lift {tallied.lift(rule.name):.2f}")
    wrong = ", ".join(f"{n} {rule}" for rule, n in tallied.wrong_first.most_common())
    print(f"precision at {N_FIRST}: {np.mean(tallied.precisions):.3f} (wrong: {wrong or 'none'})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
