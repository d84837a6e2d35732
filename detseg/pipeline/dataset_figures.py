"""The figures of a dataset version: what is in it, how it grew, and what each format would lose."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from detseg.datasets.figures import (
    DatasetFigures,
    FigureTally,
    VersionSize,
    decode_figures,
    growth,
)
from detseg.datasets.sample import decode_sample
from detseg.errors import DatasetError, FormatError
from detseg.files import read_json, write_whole
from detseg.formats import ImageLabels
from detseg.pipeline import progress
from detseg.pipeline.formats import FormatName, find_format
from detseg.pipeline.labels import read_labels
from detseg.pipeline.qa.figures_json import encode_figures

if TYPE_CHECKING:
    from pathlib import Path

    from detseg.catalog import Catalog, Project
    from detseg.datasets.store import DatasetStore
    from detseg.datasets.version import Version
    from detseg.formats.dataset import Format, Loss
    from detseg.pipeline.labels import LabelRules

_REVISION = 2
"""Part of what is kept: with another number, figures that were kept are computed anew."""


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """The figures of a version.

    ``lost`` says by format what an export would lose, as counts of regions; nothing where the format holds
    everything. ``growth`` has the versions of the project up to this one, the oldest first.
    """

    labels: DatasetFigures
    lost: Mapping[str, Mapping[str, int]]
    growth: tuple[VersionSize, ...]


def measure_version(store: DatasetStore, version: Version, state: Path) -> VersionFigures:
    """Compute the figures of a version, or take those that were computed before: versions never change.

    They are kept in the folder of the state. Raises DatasetError for a version that is damaged.
    """
    path = state / "figures" / f"{version.id}.json"
    versions = store.versions()
    kept = _read_kept(path)
    if kept is None:
        kept = _measure(store, version)
        _keep(path, *kept, known={one.id for one in versions})
    until = [one for one in versions if (one.created_at, one.name) <= (version.created_at, version.name)]
    return VersionFigures(*kept, growth(until, version.recipe.project))


def measure_labels(
    catalog: Catalog, project: Project, rules: LabelRules, classes: Iterable[str]
) -> DatasetFigures:
    """Compute the figures of the labels that a version would have now, without splits."""
    tally = FigureTally()
    for label in read_labels(catalog, project, rules):
        tally.add(label.annotation, authors=label.authors)
    return tally.result(classes)


def _measure(store: DatasetStore, version: Version) -> tuple[DatasetFigures, dict[str, dict[str, int]]]:
    """Go through the images of a version once."""
    formats = [find_format(name) for name in get_args(FormatName)]
    tally, splits = FigureTally(), store.splits(version)
    lost: dict[str, Counter[str]] = {format_.name: Counter() for format_ in formats}
    progress.report("figures", total=version.counts.images)
    for row in store.rows(version):
        sample = decode_sample(row)
        said, split = sample.annotation(), splits[row["image"]]
        tally.add(said, authors=sample.authors, split=split)
        image = ImageLabels(sample.uri, said.size, tuple(one.instance for one in said.regions), split)
        for format_ in formats:
            lost[format_.name].update(_losses(format_, image))
        progress.report("figures", advance=1)
    figures = tally.result(one.name for one in version.recipe.classes)
    return figures, {name: dict(sorted((+counts).items())) for name, counts in lost.items()}


def _losses(format_: Format, image: ImageLabels) -> Mapping[Loss, int]:
    """What a format cannot hold of an image, be it the image itself: more objects than it has numbers for."""
    try:
        return format_.losses(image) if format_.losses is not None else {}
    except DatasetError:
        return {"images that are refused": 1}


def _read_kept(path: Path) -> tuple[DatasetFigures, dict[str, dict[str, int]]] | None:
    """The figures in a file; None where there is none, or one of another detseg."""
    try:
        kept = read_json(path)
        lost = kept["lost"]
        if kept["revision"] != _REVISION or lost.keys() != set(get_args(FormatName)):
            return None
        if not all(type(n) is int for counts in lost.values() for n in counts.values()):
            return None
        return decode_figures(kept["labels"]), kept["lost"]
    except (FormatError, KeyError, TypeError, AttributeError):
        return None


def _keep(
    path: Path, labels: DatasetFigures, lost: Mapping[str, Mapping[str, int]], *, known: Container[str]
) -> None:
    """Write figures into a file beside those of other versions, and remove those that no version has now."""
    whole: dict[str, Any] = {"revision": _REVISION, "labels": encode_figures(labels), "lost": lost}
    with suppress(OSError):  # a full disk: they are computed anew the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(whole))
        for other in path.parent.glob("*.json"):
            if other.stem not in known:
                other.unlink(missing_ok=True)
