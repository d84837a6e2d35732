"""The model version of some settings, without loading the weights, where nothing has changed.

A run over images that are all predicted needs no more of a model than its version and its classes. They are
kept in the catalog, under the settings that a predictor depends on, with a fingerprint of all that makes a
version: the checkpoints' files, this code, the libraries and the machine; of a plug-in all files that its
distribution installed, the files that it names, and every package beside it. A model of the hub has no such
fingerprint, nor has a plug-in that does not name its files: they are loaded every time.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import detseg
from detseg.files import file_stamps, parse_json
from detseg.models.plugins import installed_files, is_plugin
from detseg.pipeline.predictors import PredictorSettings, model_files, named_models
from detseg.taxonomy import Taxonomy, class_from_json
from detseg.types import ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog

_LIBRARIES = ("torch", "torchvision", "transformers", "timm", "numpy", "pillow", "scipy")


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model version, its classes, and what files it depends on beside the models'; None if nobody says."""

    version: ModelVersion
    taxonomy: Taxonomy
    files: tuple[str, ...] | None = ()


def read_cached_model(settings: PredictorSettings, catalog: Catalog) -> CachedModel | None:
    """The model that these settings stood for, if nothing that makes its version has changed since."""
    stored = catalog.cursors.get(_name(settings))
    if stored is None:
        return None
    known = parse_json(stored, "what the catalog knows of the model")
    files = tuple(known.get("files", ()))
    fingerprint = _fingerprint(settings, files)
    if fingerprint is None or known["fingerprint"] != fingerprint:
        return None
    classes = tuple(map(class_from_json, known["classes"]))
    return CachedModel(ModelVersion(known["version"]), Taxonomy(classes), files)


def cache_model(settings: PredictorSettings, catalog: Catalog, model: CachedModel) -> None:
    """Keeps what these settings stand for now."""
    fingerprint = None if model.files is None else _fingerprint(settings, model.files)
    if fingerprint is None:
        return
    known = {
        "fingerprint": fingerprint,
        "files": model.files,
        "version": model.version,
        "classes": [one.to_json() for one in model.taxonomy.classes],
    }
    catalog.cursors.set(_name(settings), json.dumps(known, ensure_ascii=False))


def _name(settings: PredictorSettings) -> str:
    return f"model:{hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:32]}"


def _fingerprint(settings: PredictorSettings, files: Iterable[str]) -> str | None:
    """A hash over what makes a version; None where not all of it can be seen on this machine."""
    models = {name: _content(name) for name in named_models(settings)}
    if None in models.values():
        return None
    content = {
        "code": file_stamps([Path(detseg.__file__).parent]),
        "models": models,
        "files": file_stamps(map(Path, files)),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "machine": [platform.node(), platform.machine(), platform.processor()],
        "accelerators": sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*")),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content(name: str) -> list[Any] | None:
    """Fingerprint the files of a checkpoint or a plug-in; None for what may change unseen."""
    if read := model_files(name):
        return file_stamps(read)
    if not is_plugin(name):
        return None
    installed = installed_files(name)
    if installed is None:
        return None
    return [*file_stamps(installed), *sorted((one.name, one.version) for one in distributions())]
