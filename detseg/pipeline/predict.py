"""Predictions without a server: pictures and one JSON file in a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.errors import ConfigError, ImageError, SourceError
from detseg.escaping import escape_controls
from detseg.files import replacing
from detseg.formats.predictions import PredictionsFile, encode_line, encode_prediction
from detseg.models.agreement import Agreement
from detseg.pipeline import predictors, progress
from detseg.pipeline.precision import check_precision
from detseg.pipeline.reading import open_sources, read_from
from detseg.pipeline.streaming import predict_stream
from detseg.report.pictures import prediction_picture
from detseg.sources.folder import Folders, stat_entry
from detseg.sources.protocol import Listed
from detseg.types import DecodedImage, Failure, Instance

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.config.sections import ModelSettings
    from detseg.models.predictor import AblePredictor

RESULTS_NAME = "predictions.json"

_LONGEST_STEM = 200  # bytes; a file's name has 255 at most


@dataclass(frozen=True, slots=True)
class PredictReport:
    """The files that were written: ``file`` holds the whole answer, ``counts`` say per path how many of each
    label.

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
    """Predict every image of ``paths``: files, or folders with their subfolders. Needs no server.

    Writes ``predictions.json`` and a picture of every image into the folder ``out``. Images that cannot be
    used are in the report. Raises SourceError if nothing is there to predict, ModelError for a model that
    cannot be loaded.
    """
    listed = _listed(paths)
    uris = [one.uri for one in listed]
    predictor = predictors.load(predictors.predictor_settings(settings), n_images=len(uris))
    check = check_precision(partial(open_sources, settings), predictor, uris)
    before = Counter(predictor.unmapped)
    _make_folder(out)
    progress.report("predict", total=len(uris))
    counts: dict[str, Mapping[str, int]] = {}
    failed: list[Failure] = []
    with replacing(out / RESULTS_NAME) as text:
        file = PredictionsFile(text, model=_encode_model(settings.model, predictor, check))
        outcomes = _predicted(settings, predictor, listed, out if pictures else None)
        for uri, outcome in zip(uris, outcomes, strict=True):
            if isinstance(outcome, ImageError):
                failed.append(Failure(uri, str(outcome)))
            else:
                counts[uri], line = outcome
                file.write(line)
            progress.report("predict", advance=1)
        file.close([{"path": failure.uri, "reason": failure.reason} for failure in failed])
    unmapped = Counter(predictor.unmapped) - before
    return PredictReport(out / RESULTS_NAME, check, counts, tuple(failed), unmapped)


def _predicted(
    settings: Settings, predictor: AblePredictor, listed: Sequence[Listed], pictures: Path | None
) -> Iterator[tuple[Mapping[str, int], str] | ImageError]:
    """Counts and JSON text per image; its picture is made on the way."""

    def read(one: Listed) -> DecodedImage:
        if isinstance(one, Failure):
            raise ImageError(one.reason)
        return read_from(sources, one.uri)

    def encode(
        _: Listed, image: DecodedImage, instances: tuple[Instance, ...]
    ) -> tuple[Mapping[str, int], str]:
        picture = _draw(predictor, image, instances, out=pictures) if pictures else None
        answer = encode_prediction(image, instances, picture)
        return answer["counts"], encode_line(answer)

    with open_sources(settings) as sources:
        yield from predict_stream(
            predictor, listed, read=read, encode=encode, batch_size=settings.engine.batch_size
        )


def _listed(paths: Sequence[Path]) -> tuple[Listed, ...]:
    """Each image once, in the order of the paths, and what stands in a folder and cannot be one."""
    listed: dict[str, Listed] = {}
    for path in paths:
        if path.is_dir():
            for one in Folders().entries(str(path)):
                listed.setdefault(one.uri, one)
        elif path.exists() or path.is_symlink():
            uri = str(path.absolute())
            listed[uri] = stat_entry(uri)  # a file is tried whatever its name
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


def _draw(
    predictor: AblePredictor, image: DecodedImage, instances: tuple[Instance, ...], *, out: Path
) -> Path:
    digest = image.ref.id.removeprefix("sha256:")[:8]  # names of two folders may be equal
    stem = escape_controls(Path(image.ref.uri).stem).encode()[:_LONGEST_STEM].decode(errors="ignore")
    picture = out / f"{stem}-{digest}.png"
    sheet = prediction_picture(
        image,
        instances,
        predictor.taxonomy,
        subtitle=predictor.version,
        detector=bool(predictor.detector),
        segmenter=bool(predictor.segmenter),
    )
    with replacing(picture, binary=True) as file:
        sheet.save(file, "PNG")
    return picture


def _encode_model(model: ModelSettings, predictor: AblePredictor, check: Agreement | None) -> dict[str, Any]:
    return {
        "detector": model.detector or "",
        "segmenter": model.segmenter or "",
        "version": predictor.version,
        "engines": predictor.engines,
        "precision_check": asdict(check) if check else None,
    }
