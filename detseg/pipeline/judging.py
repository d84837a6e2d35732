"""The use case of ``detseg models compare``: whether a candidate is better than the present model.

Both predict the images of a split of a dataset version, each once: answers are kept in the catalog, as those
of every run are. What the judgement is lies in ``detseg.metrics.judgement``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from detseg.config.classes import ClassSettings
from detseg.datasets.sample import Sample, decode_sample, image_bytes
from detseg.datasets.splits import group_duplicates
from detseg.errors import DatasetError
from detseg.labelstudio.shapes import Annotate, asked
from detseg.metrics.judged import EvidenceTally
from detseg.metrics.judgement import Judgement, Rule
from detseg.metrics.judgement import judge as judge_evidence
from detseg.metrics.paired import Difference
from detseg.paging import pages
from detseg.pipeline import predictors, progress, shards
from detseg.pipeline.datasets import describe_taxonomy, open_store
from detseg.pipeline.named_models import images_behind, model_settings
from detseg.pipeline.near_duplicates import near_duplicates
from detseg.pipeline.policies import cost_model
from detseg.pipeline.predictors import predictor_settings
from detseg.pipeline.workspace import opened_catalog
from detseg.plurals import format_count
from detseg.training.checks import JUDGED
from detseg.types import Annotation, Entry, ImageId, ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Look
    from detseg.config import Settings
    from detseg.datasets.store import DatasetStore
    from detseg.datasets.version import Version


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement with what it is about. ``look`` is its number among the looks at the split, from 1."""

    judgement: Judgement
    present: ModelVersion
    candidate: ModelVersion
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
            "dataset": self.dataset,
            "split": self.split,
            "look": self.look,
            "notes": list(self.notes),
        }


def _encode(differences: Mapping[str, Difference]) -> dict[str, list[float | None]]:
    return {name: [*map(_finite, (one.value, one.low, one.high))] for name, one in differences.items()}


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
    store = open_store(settings)
    version = store.version(dataset)
    samples = _read_split(settings, version, split)
    notes = [*filter(None, [describe_taxonomy(version, settings.changes)])]
    names = (present, candidate)
    used = {image for name in names for image in images_behind(settings, name, note=notes.append)}
    samples = _without_used(samples, used, version=version, split=split, note=notes.append)
    with opened_catalog(settings) as catalog:
        _record_images(catalog, samples)
        with_masks = _has_masks(samples)
        chosen = [model_settings(settings, name, with_masks=with_masks) for name in names]
        versions = [_predict(one, catalog, version, samples) for one in chosen]
        before, after = versions
        samples = _without_duplicates(settings, catalog, samples, used, note=notes.append)
        samples = _without_unread(settings, catalog, samples, versions, note=notes.append)
        notes += _describe_anchored(samples, before, after)
        evidence = _compare(settings, catalog, samples, (before, after)).evidence()
        look = _count_looks(store, catalog, samples, (before, after))
        rule = Rule(settings.judgement.protected, look, settings.judgement.max_looks)
        judgement = judge_evidence(evidence, rule)
        judged = Judged(judgement, before, after, version.name, split, look, tuple(notes))
        catalog.looks.record(version.id, split, present=before, candidate=after, result=judged.to_json())
    for note in notes:
        warn(note)
    return judged


def _count_looks(
    store: DatasetStore, catalog: Catalog, samples: list[Sample], models: tuple[ModelVersion, ModelVersion]
) -> int:
    """The number of this look at these images, from 1; that of two models seen before is the one that it was.

    Looks at splits of other versions count where these have half of the images.
    """
    images = {image_bytes(sample.image) for sample in samples}
    pairs: list[tuple[str, str]] = []
    looks = [look for version in store.versions() for look in _looks_at(store, catalog, version, images)]
    for look in sorted(looks, key=lambda one: one.at):
        pair = (look.present, look.candidate)
        if pair not in pairs:
            pairs.append(pair)
    return pairs.index(models) + 1 if models in pairs else len(pairs) + 1


def _looks_at(store: DatasetStore, catalog: Catalog, version: Version, images: set[bytes]) -> Iterator[Look]:
    """The looks at splits of a version that have half of those images."""
    by_split: defaultdict[str, set[bytes]] = defaultdict(set)
    for image, side in store.splits(version).items():
        by_split[side].add(image)
    for side, there in by_split.items():
        if 2 * len(images & there) >= len(images):
            yield from catalog.looks.of_split(version.id, side)


def _read_split(settings: Settings, version: Version, split: str) -> list[Sample]:
    """The labeled images of a split, sorted. DatasetError where there are none."""
    store = open_store(settings)
    wanted = {image for image, side in store.splits(version).items() if side == split}
    if not wanted:
        there = ", ".join(version.counts.splits) or "none"
        raise DatasetError(
            f"{version.name} has no split {split!r} to judge by (it has {there}): make a version with "
            "`detseg dataset create NAME --split train=0.8,val=0.1,test=0.1`"
        )
    return [decode_sample(row) for row in store.rows(version, wanted)]


def _without_used(
    samples: list[Sample],
    used: set[ImageId],
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


def _record_images(catalog: Catalog, samples: Iterable[Sample]) -> None:
    """Let the catalog know the images of a version that was made elsewhere."""
    from detseg.catalog import FoundImage

    for page in pages(samples):
        known = catalog.images.refs(sample.image for sample in page)
        new = [sample for sample in page if sample.image not in known]
        catalog.images.record([FoundImage(one.image, one.size, Entry(one.uri)) for one in new])


def _predict(chosen: Settings, catalog: Catalog, version: Version, samples: list[Sample]) -> ModelVersion:
    """Predict what the models of the settings have not answered yet, and return their version."""
    if not chosen.classes:
        classes = tuple(ClassSettings(**one.to_json()) for one in version.recipe.classes)
        chosen = chosen.updated(classes=classes)
    predictor = predictors.load(predictor_settings(chosen), n_images=len(samples))
    progress.report("predict", total=len(samples))
    refs = [ImageRef(sample.image, sample.uri) for sample in samples]
    for page in pages(refs, chosen.run.shard_size):
        shards.predict_shard(chosen, catalog, predictor, page)
    return predictor.version


def _without_duplicates(
    settings: Settings,
    catalog: Catalog,
    samples: list[Sample],
    used: set[ImageId],
    *,
    note: Callable[[str], None],
) -> list[Sample]:
    """The images that are no near duplicates of those that helped to make a model."""
    alike = near_duplicates(settings.state_path, catalog.features.read_all(), keep=True)
    groups = group_duplicates(alike.clusters, catalog.features.split_groups())
    of_used = {groups.get(image, image) for image in used}
    left = [one for one in samples if groups.get(one.image, one.image) not in of_used]
    if n := len(samples) - len(left):
        note(f"{format_count(n, 'image')} left out: near duplicates of some that helped to make a model")
    return left


def _without_unread(
    settings: Settings,
    catalog: Catalog,
    samples: list[Sample],
    versions: Iterable[ModelVersion],
    *,
    note: Callable[[str], None],
) -> list[Sample]:
    """The images that both models answered. DatasetError if too many are gone or have changed."""
    ids = [sample.image for sample in samples]
    missing = {image for one in versions for image in catalog.predictions.missing(ids, one)}
    if not missing:
        return samples
    first = next(sample for sample in samples if sample.image in missing)
    said = (
        f"{format_count(len(missing), 'image')} of {len(samples)} cannot be read any more, the first: "
        f"{first.uri or first.image}"
    )
    if len(missing) > settings.run.max_quarantined_share * len(samples):
        raise DatasetError(
            f"{said}: put them back, or make a version of what is there (run.max_quarantined_share is "
            f"{settings.run.max_quarantined_share:g})"
        )
    note(f"{said}; left out")
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


def _compare(
    settings: Settings, catalog: Catalog, samples: list[Sample], models: tuple[ModelVersion, ModelVersion]
) -> EvidenceTally:
    """Take in every image with its label and both answers, in the shapes that people are shown."""
    with_masks = _has_masks(samples)
    annotate = settings.labels.annotate if with_masks else "boxes"
    tally = EvidenceTally(
        cost_model(settings.costs), left_iou=settings.judgement.left_iou, with_masks=with_masks
    )
    for page in pages(samples):
        ids = [sample.image for sample in page]
        answers = [catalog.predictions.read(ids, version) for version in models]
        for sample, before, after in zip(page, *answers, strict=True):
            shown = [_as_asked(one, annotate) for one in (sample.annotation(), before, after)]
            tally.add(shown[0], shown[1], shown[2])
    return tally


def _has_masks(samples: Iterable[Sample]) -> bool:
    """Tell whether people drew a mask in any of the images."""
    return any(
        region.instance.mask is not None for sample in samples for region in sample.annotation().regions
    )


def _as_asked(annotation: Annotation, annotate: Annotate) -> Annotation:
    """The regions in the shapes that people are asked for."""
    shaped = ((region, asked(region.instance, annotate)) for region in annotation.regions)
    return replace(
        annotation,
        regions=tuple(replace(region, instance=one) for region, one in shaped if one is not None),
    )
