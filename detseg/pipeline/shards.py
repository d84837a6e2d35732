"""Predicts one shard of images and records the answers: the unit that is retried and run in parallel."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detseg.catalog import Catalog, Quarantined
from detseg.errors import ImageError
from detseg.images import BROWSER_FORMATS
from detseg.images.fingerprints import fingerprint
from detseg.labelstudio.codec import prediction_regions
from detseg.models.predictor import AblePredictor
from detseg.pipeline import progress
from detseg.pipeline.reading import open_sources, read_from
from detseg.pipeline.streaming import predict_stream
from detseg.types import Annotation, DecodedImage, Failure, ImageFeatures, ImageId, ImageRef, Instance, State

if TYPE_CHECKING:
    from detseg.config import Settings

_one_at_a_time = threading.Lock()
"""A shard keeps every core busy; two at once in one process would only share them."""


@dataclass(frozen=True, slots=True)
class ShardReport:
    """``predicted`` and failed images of a shard; those that were predicted before are in neither.

    ``unmapped`` counts by label what was seen and left out, because no class of the taxonomy takes it.
    """

    predicted: tuple[ImageId, ...]
    failures: tuple[Failure, ...]
    unmapped: Mapping[str, int] = field(default_factory=dict)


def predict_shard(
    settings: Settings, catalog: Catalog, predictor: AblePredictor, refs: Sequence[ImageRef]
) -> ShardReport:
    """Predicts the images that this model version has not answered yet; records answers and features.

    All answers are recorded in one transaction, after the features: no image has an answer alone. An image
    that cannot be used is quarantined with the reason. Raises CatalogError and ModelError.
    """
    missing = frozenset(catalog.predictions.missing((ref.id for ref in refs), predictor.version))
    progress.report("predict", advance=len(refs) - len(missing))
    predictions: list[Annotation] = []
    features: list[ImageFeatures] = []
    failures: list[Quarantined] = []
    asked = [ref for ref in refs if ref.id in missing]
    with _one_at_a_time:
        before = Counter(predictor.unmapped)
        for ref, outcome in zip(asked, _predicted(settings, predictor, asked), strict=True):
            if isinstance(outcome, ImageError):
                failures.append(Quarantined(ref.uri, str(outcome), "predict", image=ref.id))
            else:
                predictions.append(outcome[0])
                features.append(outcome[1])
            progress.report("predict", advance=1)
        unmapped = Counter(predictor.unmapped) - before
    catalog.features.record(features)
    catalog.predictions.record(predictions)
    catalog.quarantine.record(failures)
    return ShardReport(
        tuple(prediction.image for prediction in predictions),
        tuple(Failure(failure.uri, failure.reason) for failure in failures),
        unmapped,
    )


def _predicted(
    settings: Settings, predictor: AblePredictor, refs: Sequence[ImageRef]
) -> Iterator[tuple[Annotation, ImageFeatures] | ImageError]:
    """The prediction and the features of every image, in order, or why there is none."""

    def read(ref: ImageRef) -> DecodedImage:
        image = read_from(sources, ref.uri, formats=BROWSER_FORMATS)
        if image.ref.id != ref.id:
            raise ImageError("changed while it was being read: run again")
        return image

    def encode(
        ref: ImageRef, image: DecodedImage, instances: tuple[Instance, ...]
    ) -> tuple[Annotation, ImageFeatures]:
        regions = prediction_regions(ref.id, predictor.version, instances)
        state: State = "labeled" if regions else "empty"
        features = ImageFeatures(ref.id, fingerprint(image.rgb), predictor.take_embedding(ref.id))
        return Annotation(ref.id, image.size, predictor.version, state, regions=regions), features

    with open_sources(settings) as sources:
        yield from predict_stream(
            predictor, refs, read=read, encode=encode, batch_size=settings.engine.batch_size
        )
