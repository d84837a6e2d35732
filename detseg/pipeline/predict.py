"""Predictions without a server: pictures and one JSON file in a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.errors import ConfigError, ImageError, SourceError
from detseg.geometry.masks import encode_mask
from detseg.models.agreement import Agreement
from detseg.pipeline import predictors, progress
from detseg.pipeline.precision import check_precision
from detseg.pipeline.reading import open_sources, read_from
from detseg.pipeline.results_file import ResultsFile
from detseg.pipeline.streaming import predict_stream
from detseg.report.pictures import prediction_picture
from detseg.sources.folder import Folders
from detseg.sources.protocol import Listed
from detseg.types import DecodedImage, Entry, Failure, Instance

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.models.predictor import Predictor

RESULTS_NAME = "predictions.json"

_LONGEST_STEM = 200  # bytes; a file's name has 255 at most


@dataclass(frozen=True, slots=True)
class PredictReport:
    """What was written: ``file`` holds the whole answer, ``counts`` say per path how many of each label.

    ``precision_check`` says what a lower precision than float32 changed. Paths are in the order in which they
    were given; so are those that failed. ``unmapped`` counts by label what was seen and left out, because no
    class of the taxonomy takes it.
    """

    file: Path
    precision_check: Agreement | None
    counts: Mapping[str, Mapping[str, int]]
    failed: tuple[Failure, ...]
    unmapped: Mapping[str, int]


def predict(settings: Settings, paths: Sequence[Path], out: Path, *, pictures: bool = True) -> PredictReport:
    """Predicts every image of ``paths`` (files, or folders with their subfolders) into the folder ``out``.

    Writes ``predictions.json`` and a picture per image. Raises SourceError if nothing is there to predict.
    """
    listed = _listed(paths)
    uris = [one.uri for one in listed]
    predictor = predictors.load(settings, n_images=len(uris))
    check = check_precision(settings, predictor, uris)
    before = Counter(predictor.unmapped)
    _make_folder(out)
    progress.report("predict", total=len(uris))
    counts: dict[str, Mapping[str, int]] = {}
    failed: list[Failure] = []
    with ResultsFile(out / RESULTS_NAME, model=_encode_model(settings, predictor, check)) as file:
        outcomes = _predicted(settings, predictor, listed, out if pictures else None)
        for uri, outcome in zip(uris, outcomes, strict=True):
            if isinstance(outcome, ImageError):
                failed.append(Failure(uri, str(outcome)))
            else:
                counts[uri], text = outcome
                file.write(text)
            progress.report("predict", advance=1)
        file.close([{"path": failure.uri, "reason": failure.reason} for failure in failed])
    unmapped = Counter(predictor.unmapped) - before
    return PredictReport(out / RESULTS_NAME, check, counts, tuple(failed), unmapped)


def _predicted(
    settings: Settings, predictor: Predictor, listed: Sequence[Listed], pictures: Path | None
) -> Iterator[tuple[Mapping[str, int], str] | ImageError]:
    """Counts and JSON text per image; its picture is made on the way."""

    def read(one: Listed) -> DecodedImage:
        if isinstance(one, Failure):
            raise ImageError(one.reason)
        return read_from(sources, one.uri, max_pixels=settings.max_pixels)

    def encode(
        _: Listed, image: DecodedImage, instances: tuple[Instance, ...]
    ) -> tuple[Mapping[str, int], str]:
        picture = _draw(predictor, image, instances, out=pictures) if pictures else None
        answer = _encode(image, instances, picture)
        return answer["counts"], json.dumps(answer, ensure_ascii=False)

    with open_sources(settings) as sources:
        yield from predict_stream(predictor, listed, read=read, encode=encode, batch_size=settings.batch_size)


def _listed(paths: Sequence[Path]) -> tuple[Listed, ...]:
    """Each image once, in the order of the paths, and what stands in a folder and cannot be one."""
    listed: dict[str, Listed] = {}
    for path in paths:
        if path.is_dir():
            for one in Folders().entries(str(path)):
                listed.setdefault(one.uri, one)
        elif path.exists() or path.is_symlink():
            uri = str(path.absolute())
            listed[uri] = Entry(uri)  # a file is tried whatever its name
        else:
            raise SourceError(f"there is no file or folder {path}")
    if not listed:
        raise SourceError(f"no images in {', '.join(map(str, paths))}: give image files or a folder of them")
    return tuple(listed.values())


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be made a folder ({error.strerror}): name another one") from error


def _draw(predictor: Predictor, image: DecodedImage, instances: tuple[Instance, ...], *, out: Path) -> Path:
    digest = image.ref.id.removeprefix("sha256:")[:8]  # names of two folders may be equal
    stem = Path(image.ref.uri).stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
    picture = out / f"{stem}-{digest}.png"
    sheet = prediction_picture(
        image,
        instances,
        predictor.taxonomy,
        subtitle=predictor.version,
        detector=bool(predictor.detector),
        segmenter=bool(predictor.segmenter),
    )
    sheet.save(picture)
    return picture


def _encode_model(settings: Settings, predictor: Predictor, check: Agreement | None) -> dict[str, Any]:
    return {
        "detector": settings.detector or "",
        "segmenter": settings.segmenter or "",
        "version": predictor.version,
        "engines": getattr(predictor, "engines", {}),
        "precision_check": asdict(check) if check else None,
    }


def _encode(image: DecodedImage, instances: tuple[Instance, ...], picture: Path | None) -> dict[str, Any]:
    return {
        "path": image.ref.uri,
        "id": image.ref.id,
        "width": image.size.width,
        "height": image.size.height,
        "counts": dict(sorted(Counter(instance.label for instance in instances).items())),
        "instances": [_encode_instance(instance) for instance in instances],
        "picture": str(picture) if picture else None,
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
