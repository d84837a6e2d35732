"""Which model version some settings stand for, without loading the weights, where nothing has changed.

A run over images that are all predicted needs no more of a model than its version and its classes. They are
kept in the catalog, under the settings that a predictor depends on, with a fingerprint of all that makes a
version: the checkpoints' files, this code, the libraries and the machine. A model of the hub has no such
fingerprint, and is loaded every time.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import detseg
from detseg.pipeline import predictors
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.types import ModelVersion

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings

_LIBRARIES = ("torch", "torchvision", "transformers", "timm", "numpy", "pillow", "scipy")
_CODE = ("models", "geometry", "samples", "images.py", "taxonomy.py")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model version and the classes that it answers with."""

    version: ModelVersion
    taxonomy: Taxonomy


def recall(settings: Settings, catalog: Catalog) -> KnownModel | None:
    """The model that these settings stood for, if nothing that makes its version has changed since."""
    stored = catalog.cursors.get(_name(settings))
    if stored is None:
        return None
    known = json.loads(stored)
    fingerprint = _fingerprint(settings)
    if fingerprint is None or known["fingerprint"] != fingerprint:
        return None
    classes = (LabelClass(**{**one, "aliases": tuple(one["aliases"])}) for one in known["classes"])
    return KnownModel(ModelVersion(known["version"]), Taxonomy(tuple(classes)))


def remember(settings: Settings, catalog: Catalog, model: KnownModel) -> None:
    """Keeps what these settings stand for now."""
    fingerprint = _fingerprint(settings)
    if fingerprint is None:
        return
    known = {
        "fingerprint": fingerprint,
        "version": model.version,
        "classes": [asdict(one) for one in model.taxonomy.classes],
    }
    catalog.cursors.set(_name(settings), json.dumps(known, ensure_ascii=False))


def _name(settings: Settings) -> str:
    return f"model:{hashlib.sha256(predictors.chosen(settings).encode()).hexdigest()[:32]}"


def _fingerprint(settings: Settings) -> str | None:
    """A hash over what makes a version; None where a model is not a folder of this machine."""
    folders = predictors.checkpoint_folders(settings)
    if folders is None:
        return None
    package = Path(detseg.__file__).parent
    content = {
        "code": list(_stamps(package / name for name in _CODE)),
        "checkpoints": [list(_stamps((folder,))) for folder in folders],
        "libraries": {name: version(name) for name in _LIBRARIES},
        "machine": [platform.node(), platform.machine(), platform.processor()],
        "accelerators": sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*")),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stamps(paths: Iterable[Path]) -> Iterator[tuple[Any, ...]]:
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix != ".pyc":
                stat = file.stat()
                yield str(file), stat.st_size, stat.st_mtime_ns
