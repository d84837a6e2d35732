"""Predicts one shard of images and records the answers: the unit that is retried and run in parallel."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detseg.catalog import Catalog, Quarantined
from detseg.errors import ImageError
from detseg.images import BROWSER_FORMATS, read_image
from detseg.labelstudio.codec import prediction_regions
from detseg.models.predictor import Predictor, predict_each
from detseg.paging import pages
from detseg.pipeline import progress
from detseg.types import Annotation, DecodedImage, Failure, ImageId, ImageRef, State

if TYPE_CHECKING:
    from detseg.config import Settings

_READERS = 4

_forward = threading.Lock()  # torch uses every core in one forward pass; two at once only share them


@dataclass(frozen=True, slots=True)
class ShardReport:
    """``predicted`` and failed images of a shard; those that were predicted before are in neither.

    ``unmapped`` counts by label what was seen and left out, because no class of the taxonomy takes it.
    """

    predicted: tuple[ImageId, ...]
    failures: tuple[Failure, ...]
    unmapped: Mapping[str, int] = field(default_factory=dict)


def predict_shard(
    settings: Settings, catalog: Catalog, predictor: Predictor, refs: Sequence[ImageRef]
) -> ShardReport:
    """Predicts the images that this model version has not answered yet and records them in one transaction.

    An image that cannot be used is quarantined with the reason. Raises CatalogError and ModelError.
    """
    missing = frozenset(catalog.predictions.missing((ref.id for ref in refs), predictor.version))
    progress.report("predict", advance=len(refs) - len(missing))
    predictions: list[Annotation] = []
    failures: list[Quarantined] = []
    unmapped: Counter[str] = Counter()
    for decoded, unreadable in _decoded(settings, [ref for ref in refs if ref.id in missing]):
        failures += unreadable
        with _forward:
            before = Counter(predictor.unmapped)
            answers = predict_each(predictor, decoded)
            unmapped += Counter(predictor.unmapped) - before
        for image, answer in zip(decoded, answers, strict=True):
            if isinstance(answer, ImageError):
                failures.append(Quarantined(image.ref.uri, str(answer), "predict", image=image.ref.id))
                continue
            regions = prediction_regions(image.ref.id, predictor.version, answer)
            state: State = "labeled" if regions else "empty"
            predictions.append(
                Annotation(image.ref.id, image.size, predictor.version, state, regions=regions)
            )
        progress.report("predict", advance=len(decoded) + len(unreadable))
    catalog.predictions.record(predictions)
    catalog.quarantine.record(failures)
    return ShardReport(
        tuple(prediction.image for prediction in predictions),
        tuple(Failure(failure.uri, failure.reason) for failure in failures),
        unmapped,
    )


def _decoded(
    settings: Settings, refs: Sequence[ImageRef]
) -> Iterator[tuple[list[DecodedImage], list[Quarantined]]]:
    """Batches of upright images and of those that could not be read; one batch is read ahead."""

    def read(ref: ImageRef) -> DecodedImage | Quarantined:
        try:
            image = read_image(ref.uri, max_pixels=settings.max_pixels, formats=BROWSER_FORMATS)
        except ImageError as error:
            return Quarantined(ref.uri, str(error), "predict", image=ref.id)
        if image.ref.id != ref.id:
            return Quarantined(ref.uri, "changed while it was being read: run again", "predict", image=ref.id)
        return image

    with ThreadPoolExecutor(_READERS) as pool:
        ahead = None
        for batch in pages(refs, settings.batch_size):
            behind, ahead = ahead, [pool.submit(read, ref) for ref in batch]
            if behind is not None:
                yield _sorted_out([future.result() for future in behind])
        if ahead is not None:
            yield _sorted_out([future.result() for future in ahead])


def _sorted_out(
    outcomes: Sequence[DecodedImage | Quarantined],
) -> tuple[list[DecodedImage], list[Quarantined]]:
    images = [outcome for outcome in outcomes if isinstance(outcome, DecodedImage)]
    return images, [outcome for outcome in outcomes if isinstance(outcome, Quarantined)]
