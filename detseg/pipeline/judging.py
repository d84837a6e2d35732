"""The use case of ``detseg models compare``: whether a candidate is better than the present model.

Both predict the images of a split of a dataset version, each once: answers are kept in the catalog, as those
of every run are. What the judgement is lies in ``detseg.metrics.judgement``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from detseg.catalog.looks import hash_start
from detseg.datasets.sample import Sample, decode_sample, image_bytes, image_of
from detseg.datasets.splits import CHOSEN_BY, JUDGED, group_duplicates
from detseg.datasets.store import DatasetStore
from detseg.errors import DatasetError
from detseg.metrics.evidence import Evidence, EvidenceTally
from detseg.metrics.judgement import Judgement, Rule
from detseg.metrics.judgement import judge as judge_evidence
from detseg.metrics.paired import Difference
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.pipeline.datasets import describe_taxonomy
from detseg.pipeline.named_models import images_behind, model_settings
from detseg.pipeline.near_duplicates import near_duplicates, read_features
from detseg.pipeline.policies import cost_model
from detseg.pipeline.predicted_split import (
    has_masks,
    predict_samples,
    read_answers,
    read_split,
    record_images,
)
from detseg.pipeline.reading import describe_unread, open_sources
from detseg.pipeline.registry import PRESENT
from detseg.pipeline.tuning import Tuned, encode_difference, tune_model
from detseg.pipeline.workspace import opened_catalog
from detseg.plurals import format_count
from detseg.types import ImageId, ModelVersion

if TYPE_CHECKING:
    from pathlib import Path

    from detseg.catalog import Catalog
    from detseg.config import Settings
    from detseg.config.sections import RunSettings
    from detseg.datasets.version import Version


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement with what it is about. ``look`` is its number among the looks at the split, from 1."""

    judgement: Judgement
    present: ModelVersion
    candidate: ModelVersion
    unseen: tuple[int, int]
    """images behind the present model and the candidate that could not be compared with those at hand"""
    tuned: Tuned | None
    """the thresholds and maps of scores that the split val chose for the candidate before it was judged; None
    where there is no such split"""
    dataset: str
    split: str
    look: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As ``detseg models compare --json`` prints it: a difference is [value, low, high]."""
        found = self.judgement
        per_class = {
            label: {
                "n_truth": one.n_truth,
                "protected": one.is_protected,
                "worse": one.is_worse,
                "present": _rounded(one.present),
                "candidate": _rounded(one.candidate),
                "difference": _encode(one.difference),
            }
            for label, one in found.per_class.items()
        }
        return {
            "better": found.better,
            "missing": list(found.missing),
            "images": found.n_images,
            "more_images": found.n_more,
            "level": round(found.level, 6),
            "difference": _encode(found.difference),
            "per_class": per_class,
            "figures": {"present": _rounded(found.present), "candidate": _rounded(found.candidate)},
            "models": {"present": self.present, "candidate": self.candidate},
            "duplicates_unknown": dict(zip(("present", "candidate"), self.unseen, strict=True)),
            "tuned": None if self.tuned is None else self.tuned.to_json(),
            "dataset": self.dataset,
            "split": self.split,
            "look": self.look,
            "notes": list(self.notes),
        }


def _encode(differences: Mapping[str, Difference]) -> dict[str, list[float | None]]:
    return {name: encode_difference(one) for name, one in differences.items()}


def _rounded(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in figures.items()}


def _finite(value: float | None) -> float | None:
    return round(value, 6) if value is not None and math.isfinite(value) else None


def judge(
    settings: Settings,
    present: str,
    candidate: str,
    dataset: str,
    *,
    split: str = JUDGED,
    warn: Callable[[str], None] = lambda _: None,
) -> Judged:
    """Judge whether ``candidate`` is better than ``present`` on a split of a dataset version.

    Models are named as ``model_settings`` takes them. Images that helped to make either model are left out,
    and so are near duplicates of such; ``warn`` gets a line about that and about each odd thing. Calling it
    again predicts nothing anew and is the same look. Raises DatasetError for a version or split that is not
    there, that nothing is left of, or of which too many images are gone; ModelError for a model that cannot
    be loaded.
    """
    store = DatasetStore(settings.datasets_location)
    version = store.version(dataset)
    samples = read_split(store, version, split)
    notes = [*filter(None, [describe_taxonomy(version, settings.changes)])]
    names = (present, candidate)
    behind = [images_behind(settings, name, note=notes.append) for name in names]
    used = behind[0] | behind[1]
    samples = _without_used(samples, used, version=version, split=split, note=notes.append)
    with opened_catalog(settings) as catalog:
        record_images(catalog, samples)
        masked = has_masks(samples)
        chosen = [model_settings(settings, name, with_masks=masked) for name in names]
        tuned = [
            None if name == PRESENT or split == CHOSEN_BY else _tune(one, catalog, version)
            for name, one in zip(names, chosen, strict=True)
        ]
        used_as = [one.settings if one else plain for one, plain in zip(tuned, chosen, strict=True)]
        before, after = (predict_samples(one, catalog, version, samples) for one in used_as)
        unseen = _read_unseen(settings, catalog, used, judged_by=version)
        samples = _without_duplicates(settings.state_path, catalog, samples, used, note=notes.append)
        of = f"the split {split} of {version.name}"
        samples = _without_unread(settings.run, catalog, samples, (before, after), of=of, note=notes.append)
        notes += _describe_anchored(samples, before, after)
        evidence = _compare_answers(settings, catalog, samples, (before, after), with_masks=masked)
        look = _count_looks(store, catalog, samples, (before, after))
        unseen_by = len(unseen & behind[0].keys()), len(unseen & behind[1].keys())
        rule = Rule(settings.judgement.protected, look, settings.judgement.max_looks, *unseen_by)
        judged = Judged(
            judge_evidence(evidence, rule),
            before,
            after,
            unseen=unseen_by,
            tuned=tuned[1],
            dataset=version.name,
            split=split,
            look=look,
            notes=tuple(notes),
        )
        _record_look(catalog, version, judged, samples)
    for note in notes:
        warn(note)
    return judged


def _compare_answers(
    settings: Settings,
    catalog: Catalog,
    samples: list[Sample],
    models: tuple[ModelVersion, ModelVersion],
    *,
    with_masks: bool,
) -> Evidence:
    """Collect what people would have to do with the answers of both models."""
    costs, left_iou = cost_model(settings.costs), settings.judgement.left_iou
    tally = EvidenceTally(costs, left_iou=left_iou, with_masks=with_masks)
    for truth, present, candidate in read_answers(settings.labels.annotate, catalog, samples, *models):
        tally.add(truth, present, candidate)
    return tally.evidence()


def _tune(settings: Settings, catalog: Catalog, version: Version) -> Tuned | None:
    """How a model would be used, by the split val; None where the version has none."""
    return tune_model(settings, catalog, version) if version.counts.splits.get(CHOSEN_BY) else None


def _count_looks(
    store: DatasetStore, catalog: Catalog, samples: list[Sample], models: tuple[ModelVersion, ModelVersion]
) -> int:
    """The number of this look at these images, from 1; that of two models seen before is the one that it was.

    Looks at splits of other versions count where these have half of the images, also of versions that were
    removed since.
    """
    images = {hash_start(sample.image) for sample in samples}
    versions = {version.id: version for version in store.versions()}
    pairs: list[tuple[str, str]] = []
    for look in catalog.looks.all():
        pair = (look.present, look.candidate)
        if pair in pairs:
            continue
        there = look.images
        if there is None and look.dataset_id in versions:  # an earlier detseg recorded it
            sides = store.splits(versions[look.dataset_id]).items()
            there = frozenset(hash_start(image_of(image)) for image, side in sides if side == look.split)
        if there is not None and 2 * len(images & there) >= len(images):
            pairs.append(pair)
    return pairs.index(models) + 1 if models in pairs else len(pairs) + 1


def _record_look(catalog: Catalog, version: Version, judged: Judged, samples: list[Sample]) -> None:
    catalog.looks.record(
        version.id,
        judged.split,
        present=judged.present,
        candidate=judged.candidate,
        result=judged.to_json(),
        images=[sample.image for sample in samples],
    )


def _without_used(
    samples: list[Sample],
    used: Mapping[ImageId, Version],
    *,
    version: Version,
    split: str,
    note: Callable[[str], None],
) -> list[Sample]:
    """The images that had no part in making a model. DatasetError where none is left."""
    left = [sample for sample in samples if sample.image not in used]
    if n := len(samples) - len(left):
        note(f"{format_count(n, 'image')} left out: a model learned from them or was chosen by them")
    if not left:
        raise DatasetError(
            f"nothing is left to judge by: a model learned from all images of the split {split!r} of "
            f"{version.name}, or was chosen by them; name a split that it has not seen"
        )
    return left


def _read_unseen(
    settings: Settings, catalog: Catalog, used: Mapping[ImageId, Version], *, judged_by: Version
) -> set[ImageId]:
    """Read the images behind the models that nobody has looked at here; those that cannot be read.

    Images of the version that both are judged by are none of them, where it says itself that no near
    duplicates are on two of its sides.
    """
    missing = catalog.features.missing(used)
    if not missing:
        return set()
    store, of_version = DatasetStore(settings.datasets_location), defaultdict[str, list[ImageId]](list)
    for image in missing:
        of_version[used[image].id].append(image)
    with open_sources(settings) as sources:
        progress.report("compare", total=len(missing))
        for images in of_version.values():
            version = used[images[0]]
            for page in pages(map(decode_sample, store.rows(version, {*map(image_bytes, images)}))):
                found = [read_features(sources, one.image, one.uri) for one in page]
                record_images(catalog, page)
                catalog.features.record(one for one in found if one is not None)
                progress.report("compare", advance=len(page))
    kept_apart = store.splits(judged_by) if judged_by.counts.duplicates.get("leaks") == 0 else {}
    return {one for one in catalog.features.missing(missing) if image_bytes(one) not in kept_apart}


def _without_duplicates(
    state: Path,
    catalog: Catalog,
    samples: list[Sample],
    used: Mapping[ImageId, Version],
    *,
    note: Callable[[str], None],
) -> list[Sample]:
    """The images that are no near duplicates of those that helped to make a model. DatasetError for none."""
    alike = near_duplicates(state, catalog.features.read_all(), keep=True)
    groups = group_duplicates(alike.clusters, catalog.features.split_groups())
    of_used = {groups.get(image, image) for image in used}
    left = [one for one in samples if groups.get(one.image, one.image) not in of_used]
    if n := len(samples) - len(left):
        note(f"{format_count(n, 'image')} left out: near duplicates of some that helped to make a model")
    if not left:
        raise DatasetError(
            "nothing is left to judge by: all images are near duplicates of some that helped to make a "
            "model; name a split or a version with others"
        )
    return left


def _without_unread(
    run: RunSettings,
    catalog: Catalog,
    samples: list[Sample],
    versions: Iterable[ModelVersion],
    *,
    of: str,
    note: Callable[[str], None],
) -> list[Sample]:
    """The images that both models answered. DatasetError if too many are gone or have changed."""
    ids = [sample.image for sample in samples]
    missing = {image for one in versions for image in catalog.predictions.missing(ids, one)}
    unread = [sample.uri or sample.image for sample in samples if sample.image in missing]
    for line in describe_unread(run, unread, of, n_images=len(samples)):
        note(line)
    return [sample for sample in samples if sample.image not in missing]


def _describe_anchored(
    samples: list[Sample], present: ModelVersion, candidate: ModelVersion
) -> Iterator[str]:
    """A line where labels were begun from a model's answers, which people leave if they can."""
    begun = Counter(version for sample in samples for version in set(sample.model_versions))
    for version in dict.fromkeys((present, candidate)):
        if n := begun[version]:
            yield (
                f"{n} of {format_count(len(samples), 'label')} were begun from the regions of {version}: "
                "where people left them, that model is judged too well"
            )
