"""Predictors of somebody else: found by entry point, checked against the contract. Knows no torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from itertools import chain
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import cast

from detseg.errors import DetsegError, ModelError, short_reason
from detseg.models.predictor import LONGEST_VERSION, Abilities, Predictor, PredictorOptions, check_answer
from detseg.taxonomy import Taxonomy
from detseg.types import Box, DecodedImage, Instance, ModelVersion

GROUP = "detseg.predictors"
"""The entry point group in which a distribution registers its predictors."""

PREFIX = "plugin:"
"""The text that a user writes before the name of a plug-in."""

PredictorFactory = Callable[..., Predictor]
"""Called as ``factory(options=PredictorOptions, taxonomy=Taxonomy | None)``."""

_VERSION = re.compile(r"\S(.*\S)?@[0-9a-f]{8,}")

_MEMBERS: Mapping[str, type | None] = {
    "taxonomy": Taxonomy,
    "version": str,
    "detector": str,
    "segmenter": str,
    "unmapped": Mapping,
    "predict": None,
}
"""The members of the Protocol ``Predictor`` and their types; None for what is called."""


class PluginPredictor(Abilities):
    """A ``Predictor`` around a foreign one: one call at a time, and every answer is checked."""

    def __init__(self, inner: Predictor, *, detector: str, segmenter: str, taxonomy: Taxonomy) -> None:
        self._inner, self._calling = inner, Lock()
        self.detector, self.segmenter, self.taxonomy = detector, segmenter, taxonomy
        self.version = ModelVersion(inner.version)

    @property
    def files(self) -> tuple[str, ...] | None:
        """Files that its version depends on beside what is installed; None if it does not say."""
        files = getattr(self._inner, "files", None)  # no part of the contract
        return None if files is None else tuple(str(Path(file).absolute()) for file in files)

    @property
    def unmapped(self) -> Mapping[str, int]:
        """See ``Predictor.unmapped``."""
        return self._inner.unmapped

    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``. What it raises beside ImageError is a bug of its own: a ModelError."""
        name = self.detector or self.segmenter
        with self._calling, _foreign(f"{name} failed in predict", type(self._inner).__module__):
            answer = self._inner.predict(batch)
            _check_unmapped(name, self._inner.unmapped)
        try:
            return check_answer(self, batch, _in_floats(answer))
        except (TypeError, AttributeError) as error:
            raise ModelError(
                f"{name} answered something else than one tuple of Instance per image: {_name_error(error)}"
            ) from error


def is_plugin(name: str | None) -> bool:
    return bool(name and name.startswith(PREFIX))


def load_plugin(
    detector: str | None,
    segmenter: str | None,
    *,
    options: PredictorOptions,
    taxonomy: Taxonomy | None = None,
) -> PluginPredictor:
    """The predictor that is named ``plugin:NAME``, as detector, as segmenter or as both.

    ModelError, in one line, if it is not installed, cannot be imported, or breaks the contract.
    """
    if detector and segmenter and detector != segmenter:
        raise ModelError(
            f"{detector} and {segmenter} cannot be joined, for a plug-in answers alone: "
            "name it as both, or set the other to ''"
        )
    name = detector or segmenter or ""
    factory = find_plugin(name.removeprefix(PREFIX))
    if factory is None:
        known = ", ".join(sorted({PREFIX + one.name for one in entry_points(group=GROUP)})) or "none"
        raise ModelError(f"{name} is not installed (there are: {known}): install the package that has it")
    with _foreign(f"{name} cannot be made", str(factory.__module__)):
        inner = factory(options=options, taxonomy=taxonomy)
        _check_members(name, inner)
    _check_classes(name, inner.taxonomy, taxonomy)
    return PluginPredictor(
        inner, detector=detector or "", segmenter=segmenter or "", taxonomy=taxonomy or inner.taxonomy
    )


def find_plugin(name: str) -> PredictorFactory | None:
    """Find the plug-in that is registered under that name, None if none is; ModelError if it cannot be
    imported."""
    found = {one.value: one for one in _registered(name)}
    if len(found) > 1:
        raise ModelError(f"{PREFIX}{name} is registered as {' and as '.join(sorted(found))}: uninstall one")
    return _import(next(iter(found.values()))) if found else None


def installed_files(name: str) -> tuple[Path, ...] | None:
    """The files of the distribution that brings ``plugin:NAME``, without importing it.

    None where its code may be elsewhere: not installed by an installer, or as editable.
    """
    found = {one.dist.name: one.dist for one in _registered(name) if one.dist is not None}
    if len(found) != 1:
        return None
    (distribution,) = found.values()
    files = distribution.files if distribution.read_text("RECORD") else None
    if not files or any(file.suffix == ".pth" for file in files):  # what every editable install has
        return None
    return tuple(Path(str(distribution.locate_file(file))) for file in files)


def _registered(name: str) -> EntryPoints:
    return entry_points(group=GROUP, name=name.removeprefix(PREFIX))


def _import(entry_point: EntryPoint) -> PredictorFactory:
    with _foreign(f"{PREFIX}{entry_point.name} ({entry_point.value}) cannot be imported", entry_point.module):
        factory = entry_point.load()
    if not callable(factory):
        raise ModelError(f"{PREFIX}{entry_point.name} ({entry_point.value}) is no class and no function")
    return cast(PredictorFactory, factory)


class _Redirection:
    """While any thread is in here, stdout goes to stderr.

    Two of ``redirect_stdout`` that overlap leave it there: the one that ends last restores the other's.
    """

    def __init__(self) -> None:
        self._lock, self._n_inside, self._redirected = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._redirected.enter_context(redirect_stdout(sys.stderr))
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._redirected.close()


_redirection = _Redirection()


@contextmanager
def _foreign(failure: str, module: str) -> Iterator[None]:
    """In here, code of somebody else: what it prints goes to stderr, and what it raises becomes a ModelError.

    Any exception may come of it, and ``sys.exit`` too: here alone all are caught. Errors of detseg pass. The
    line ends with the place in the package of ``module``, for whoever wrote it.
    """
    try:
        with _redirection:
            yield
    except DetsegError:
        raise
    except (Exception, SystemExit) as error:
        place = _place(error, module.partition(".")[0])
        raise ModelError(f"{failure}: {_name_error(error)}{place}") from error


def _place(error: BaseException, package: str) -> str:
    """The last line of that package that the error came through, in parentheses; "" for none."""
    place, trace = "", error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == package:
            place = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _in_floats(answer: Sequence[Sequence[Instance]]) -> list[list[Instance]]:
    """The same with floats of Python for those of numpy or torch, which no JSON holds.

    TypeError for an answer that has to be run to be known, as that of a generator.
    """
    for some in chain((answer,), answer):  # the answer first, before it is gone through
        if not isinstance(some, Sequence):
            raise TypeError(f"a {type(some).__name__} is no tuple")
    return [[_with_floats(instance) for instance in instances] for instances in answer]


def _with_floats(instance: Instance) -> Instance:
    box = None if instance.box is None else Box(*map(float, instance.box.xyxy))
    return replace(instance, box=box, score=None if instance.score is None else float(instance.score))


def _check_unmapped(name: str, counts: Mapping[str, int]) -> None:
    if not isinstance(counts, Mapping) or not all(
        isinstance(label, str) and isinstance(n, int) for label, n in counts.items()
    ):
        raise ModelError(f"{name}: 'unmapped' counts labels, {{'bolt': 3}} say, and is {counts!r:.60}")


def _check_members(name: str, predictor: Predictor) -> None:
    for member, kind in _MEMBERS.items():
        if not hasattr(predictor, member):
            raise ModelError(f"{name} is no Predictor: it has no {member!r} (see docs/predictors.md)")
        value = getattr(predictor, member)
        if callable(value) if kind is None else isinstance(value, kind):
            continue
        expected = "a method" if kind is None else f"a {kind.__name__}"
        raise ModelError(f"{name} is no Predictor: {member!r} is {expected} there, not {value!r:.60}")
    files = getattr(predictor, "files", None)
    if files is not None and not (
        isinstance(files, tuple) and all(isinstance(file, str | PathLike) for file in files)
    ):
        raise ModelError(f"{name} is no Predictor: 'files' is a tuple of paths there, not {files!r:.60}")
    if not _VERSION.fullmatch(predictor.version):
        raise ModelError(
            f"{name} has the version {predictor.version!r:.60}, and name@8hex was expected: hash all that "
            "changes an answer, weights first (see docs/predictors.md)"
        )
    if len(predictor.version) > LONGEST_VERSION:
        raise ModelError(
            f"{name} has a version of {len(predictor.version)} letters: {LONGEST_VERSION} at most"
        )


def _check_classes(name: str, known: Taxonomy, wanted: Taxonomy | None) -> None:
    """ModelError for a class that the project does not have, or has as another kind."""
    for cls in known.classes if wanted else ():
        project = wanted.find(cls.name) if wanted else None
        if project is None or (project.name, project.kind) != (cls.name, cls.kind):
            raise ModelError(
                f"{name} answers {cls.kind} {cls.name!r}, which [[classes]] do not have: add it, "
                "or let the plug-in use the taxonomy that it is given"
            )


def _name_error(error: BaseException) -> str:
    """The kind of an error, and what it says: "KeyError: 1" tells more than "1"."""
    kind, reason = type(error).__name__, short_reason(error)
    return kind if reason == kind else f"{kind}: {reason}"
