"""The common part of predictors over predictors: names, versions, and the images that they make up."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from detseg.errors import ModelError
from detseg.images import image_id
from detseg.models.predictor import Abilities, AblePredictor, check_answer, named_version
from detseg.taxonomy import Taxonomy
from detseg.types import DecodedImage, Embedding, ImageId, ImageRef, Instance, Size

REVISION = 1
"""Raised with every change of the code that changes an answer for the same members and options."""


class WrappingPredictor(Abilities, ABC):
    """All of a ``Predictor`` but ``predict``, from at least one member; all members know one taxonomy.

    The version is ``name@8hex``, named after the members; the hash covers their versions, what is done with
    their answers (``kind``) and how (``options``, plain values).
    """

    def __init__(self, members: Sequence[AblePredictor], *, kind: str, options: Mapping[str, Any]) -> None:
        if not members:
            raise ModelError("a committee without members: name at least one model")
        self._members = tuple(members)
        self.taxonomy: Taxonomy = members[0].taxonomy
        for other in members[1:]:
            if other.taxonomy != self.taxonomy:
                raise ModelError(
                    f"the models {members[0].version} and {other.version} have different taxonomies: "
                    "load them with the same [[classes]]"
                )
        facts = {
            "revision": REVISION,
            "kind": kind,
            "members": [member.version for member in members],
            "options": options,
        }
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
        name = joined(member.version.rpartition("@")[0] for member in members)
        self.version = named_version(name, hashlib.sha256(canonical).hexdigest())

    @abstractmethod
    def predict(self, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
        """See ``Predictor.predict``."""

    def expect(self, n_images: int) -> None:
        """Tell every member how many images are to come."""
        for member in self._members:
            member.expect(n_images)

    def in_float32(self) -> Self | None:
        """The same around members in float32; None if all are."""
        exact = [member.in_float32() for member in self._members]
        if not any(exact):
            return None
        other = copy(self)
        other._members = tuple(one or member for one, member in zip(exact, self._members, strict=True))
        return other

    def take_embedding(self, image: ImageId) -> Embedding | None:
        """That of the first member which has one: it saw the image whole, as it is."""
        taken = [member.take_embedding(image) for member in self._members]
        return next((one for one in taken if one is not None), None)

    @property
    def files(self) -> tuple[str, ...] | None:
        """The ``files`` of all members; None if one does not say."""
        every = [member.files for member in self._members]
        return None if None in every else tuple(file for files in every for file in files or ())

    @property
    def engines(self) -> Mapping[str, str]:
        """Say how the checkpoints of all members run, by name."""
        return {name: how for one in self._members for name, how in one.engines.items()}

    @property
    def detector(self) -> str:
        """See ``Predictor.detector``; several are joined by ``+``."""
        return joined(member.detector for member in self._members)

    @property
    def segmenter(self) -> str:
        """See ``Predictor.segmenter``; several are joined by ``+``."""
        return joined(member.segmenter for member in self._members)

    @property
    def unmapped(self) -> Mapping[str, int]:
        """See ``Predictor.unmapped``; the sum over the members, sorted by label."""
        counts: Counter[str] = Counter()
        for member in self._members:
            counts.update(member.unmapped)
        return dict(sorted(counts.items()))


def joined(names: Iterable[str]) -> str:
    """The names that are not empty, each once, joined by ``+``.

    >>> joined(["detr", "", "mask2former", "detr"])
    'detr+mask2former'
    """
    return "+".join(dict.fromkeys(name for name in names if name))


def ask(predictor: AblePredictor, batch: Sequence[DecodedImage]) -> tuple[tuple[Instance, ...], ...]:
    """The predictor's checked answer; ModelError names the one that broke the contract."""
    return check_answer(predictor, batch, predictor.predict(batch)) if batch else ()


def derived_image(image: DecodedImage, rgb: npt.NDArray[np.uint8], view: str) -> DecodedImage:
    """An image made of another's pixels (H, W, 3), with an id of its own and the view behind ``#``."""
    height, width, _ = rgb.shape
    ref = ImageRef(image_id(f"{image.ref.id}#{view}".encode()), f"{image.ref.uri}#{view}")
    return DecodedImage(ref, Size(width, height), np.ascontiguousarray(rgb))
