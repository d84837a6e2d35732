"""Predictions without a server: pictures and one JSON file in a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.errors import ImageError, SourceError
from detseg.geometry.masks import encode_mask
from detseg.images import read_image
from detseg.paging import pages
from detseg.pipeline import predictors, progress
from detseg.report.pictures import prediction_picture
from detseg.sources.folder import list_images
from detseg.types import DecodedImage, Failure, Instance, ModelVersion

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.models.predictor import Predictor

RESULTS_NAME = "predictions.json"


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """What was seen on one image, and the picture that shows it."""

    image: DecodedImage
    instances: tuple[Instance, ...]
    picture: Path


@dataclass(frozen=True, slots=True)
class PredictReport:
    """``images`` are in the order of their paths, as JSON objects; so are those that failed.

    ``unmapped`` counts by label what was seen and left out, because no class of the taxonomy takes it.
    """

    detector: str
    segmenter: str
    version: ModelVersion
    images: tuple[dict[str, Any], ...]
    failed: tuple[Failure, ...]
    unmapped: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {
            "model": {"detector": self.detector, "segmenter": self.segmenter, "version": self.version},
            "images": list(self.images),
            "failed": [{"path": failure.uri, "reason": failure.reason} for failure in self.failed],
        }


def predict(settings: Settings, paths: Sequence[Path], out: Path) -> PredictReport:
    """Predicts every image of ``paths`` (files, or folders with their subfolders) into the folder ``out``.

    Writes a picture per image and ``predictions.json``. Raises SourceError if nothing is there to predict.
    """
    uris = _uris(paths)
    predictor = predictors.load(settings)
    out.mkdir(parents=True, exist_ok=True)
    progress.report("predict", total=len(uris))
    images: list[dict[str, Any]] = []
    failed: list[Failure] = []
    for batch in pages(uris, settings.batch_size):
        for answer in _predict_batch(predictor, batch, max_pixels=settings.max_pixels):
            if isinstance(answer, Failure):
                failed.append(answer)
            else:
                images.append(_encode(_with_picture(predictor, *answer, out=out)))
            progress.report("predict", advance=1)
    report = PredictReport(
        detector=settings.detector or "",
        segmenter=settings.segmenter or "",
        version=predictor.version,
        images=tuple(images),
        failed=tuple(failed),
        unmapped=predictor.unmapped,
    )
    text = json.dumps(report.to_json(), ensure_ascii=False, indent=1)
    (out / RESULTS_NAME).write_text(text + "\n", encoding="utf-8")
    return report


def _uris(paths: Sequence[Path]) -> tuple[str, ...]:
    uris: dict[str, None] = {}
    for path in paths:
        if path.is_dir():
            uris.update((stamp.uri, None) for stamp in list_images(path))
        elif path.exists() or path.is_symlink():
            uris[str(path.absolute())] = None  # a file is tried whatever its name
        else:
            raise SourceError(f"there is no file or folder {path}")
    if not uris:
        raise SourceError(f"no images in {', '.join(map(str, paths))}: give image files or a folder of them")
    return tuple(uris)


def _predict_batch(
    predictor: Predictor, uris: Sequence[str], *, max_pixels: int
) -> list[tuple[DecodedImage, tuple[Instance, ...]] | Failure]:
    """One answer per uri, in order."""
    from detseg.models.predictor import predict_each

    answers: dict[str, tuple[DecodedImage, tuple[Instance, ...]] | Failure] = {}
    decoded: list[DecodedImage] = []
    for uri in uris:
        try:
            decoded.append(read_image(uri, max_pixels=max_pixels))
        except ImageError as error:
            answers[uri] = Failure(uri, str(error))
    for image, answer in zip(decoded, predict_each(predictor, decoded), strict=True):
        if isinstance(answer, ImageError):
            answers[image.ref.uri] = Failure(image.ref.uri, str(answer))
        else:
            answers[image.ref.uri] = (image, answer)
    return [answers[uri] for uri in uris]


def _with_picture(
    predictor: Predictor, image: DecodedImage, instances: tuple[Instance, ...], *, out: Path
) -> PredictedImage:
    digest = image.ref.id.removeprefix("sha256:")[:8]  # names of two folders may be equal
    picture = out / f"{Path(image.ref.uri).stem}-{digest}.png"
    sheet = prediction_picture(
        image,
        instances,
        predictor.taxonomy,
        subtitle=predictor.version,
        detector=bool(predictor.detector),
        segmenter=bool(predictor.segmenter),
    )
    sheet.save(picture)
    return PredictedImage(image, instances, picture)


def _encode(predicted: PredictedImage) -> dict[str, Any]:
    image = predicted.image
    return {
        "path": image.ref.uri,
        "id": image.ref.id,
        "width": image.size.width,
        "height": image.size.height,
        "counts": dict(sorted(Counter(instance.label for instance in predicted.instances).items())),
        "instances": [_encode_instance(instance) for instance in predicted.instances],
        "picture": str(predicted.picture),
    }


def _encode_instance(instance: Instance) -> dict[str, Any]:
    return {
        "label": instance.label,
        "kind": instance.kind,
        "score": instance.score,
        "seen_by": instance.seen_by,
        "box": list(instance.box.xyxy) if instance.box else None,
        "mask": encode_mask(instance.mask) if instance.mask else None,
    }
