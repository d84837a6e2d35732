"""A split of a dataset version as models see it: predicted once, in the shapes that people are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from detseg.config.classes import ClassSettings
from detseg.datasets.sample import Sample, decode_sample
from detseg.datasets.splits import USUAL_SHARES
from detseg.errors import DatasetError
from detseg.labelstudio.shapes import Annotate, asked
from detseg.paging import pages
from detseg.pipeline import predictors, progress, shards
from detseg.pipeline.predictors import predictor_settings
from detseg.types import Annotation, Entry, ImageRef, ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings
    from detseg.datasets.store import DatasetStore
    from detseg.datasets.version import Version


def read_split(store: DatasetStore, version: Version, split: str) -> list[Sample]:
    """The labeled images of a split, sorted. DatasetError where there are none."""
    wanted = {image for image, side in store.splits(version).items() if side == split}
    if not wanted:
        raise DatasetError(
            f"{version.name} has no split {split!r} to judge by (it has {version.counts.split_names}): make "
            f"a version with `detseg dataset create NAME --split {USUAL_SHARES}`"
        )
    return [decode_sample(row) for row in store.rows(version, wanted)]


def record_images(catalog: Catalog, samples: Iterable[Sample]) -> None:
    """Let the catalog know the images of a version that was made elsewhere."""
    from detseg.catalog import FoundImage

    for page in pages(samples):
        known = catalog.images.refs(sample.image for sample in page)
        new = [sample for sample in page if sample.image not in known]
        catalog.images.record([FoundImage(one.image, one.size, Entry(one.uri)) for one in new])


def predict_samples(
    settings: Settings, catalog: Catalog, version: Version, samples: list[Sample]
) -> ModelVersion:
    """Predict what the models of the settings have not answered yet, and return their version.

    Without classes of the settings, those of the dataset version are asked for.
    """
    if not settings.classes:
        classes = tuple(ClassSettings(**one.to_json()) for one in version.recipe.classes)
        settings = settings.updated(classes=classes)
    predictor = predictors.load(predictor_settings(settings), n_images=len(samples))
    progress.report("predict", total=len(samples))
    refs = [ImageRef(sample.image, sample.uri) for sample in samples]
    for page in pages(refs, settings.run.shard_size):
        shards.predict_shard(settings, catalog, predictor, page)
    return predictor.version


def read_answers(
    wanted: Annotate, catalog: Catalog, samples: list[Sample], *versions: ModelVersion
) -> Iterator[tuple[Annotation, ...]]:
    """The label of each image and the answers of those versions, in the shapes that people are asked for,
    which are ``wanted`` where they drew masks, else boxes.

    Images that one of them has not answered are left out.
    """
    annotate = wanted if has_masks(samples) else "boxes"
    for page in pages(samples):
        ids = [sample.image for sample in page]
        answers = [{one.image: one for one in catalog.predictions.read(ids, version)} for version in versions]
        for sample in page:
            if all(sample.image in of_version for of_version in answers):
                both = (of_version[sample.image] for of_version in answers)
                yield tuple(_as_asked(one, annotate) for one in (sample.annotation(), *both))


def has_masks(samples: Iterable[Sample]) -> bool:
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
