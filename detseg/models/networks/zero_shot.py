"""Detectors that look for classes by name: the names are the project's, label ids their positions.

Scores of these models are lower than those of detectors that were trained on the classes: a ``box_threshold``
of 0.3 (Grounding DINO, OmDet-Turbo) or 0.1 (OWL) is usual. A box is of one class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from transformers.models.omdet_turbo.modeling_omdet_turbo import OmDetTurboLRUCache

from detseg.errors import ModelError
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.inputs import height_width, processor_inputs, require_numbers, to_device
from detseg.models.network import NetworkRequest, RawDetection
from detseg.models.networks.detection import in_float32, read_boxes, to_xyxy_px
from detseg.models.networks.sharing import with_attributes
from detseg.types import DecodedImage, Size

TEXT_THRESHOLD = 0.25
"""Grounding DINO's: how much the words of a name must be meant on average, for a box to be of that class."""

_SEPARATORS = re.compile(r"[.?\s]+")
"""The characters that end a phrase of a Grounding DINO prompt, and so may not be inside a name."""


class GroundingDino:
    """A ``Network`` over Grounding DINO and MM Grounding DINO, which compare every box with every word.

    The prompt holds all names: "a. b c. d.". The library answers with the words that a box matches, which may
    be half a name or two of them. Here the label is read from where the words stand: it is the class whose
    words match best on average (the rule of the papers' evaluation), if that is above ``TEXT_THRESHOLD``.
    Where the library's words are exactly one name, label and score are the same.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        self._images = replace(checkpoint, processor=checkpoint.processor.image_processor)
        self._prompt = make_prompt(checkpoint, wanted.names)
        self._forward = engine.compile(checkpoint.model.forward)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        texts = {name: one.expand(len(images), -1) for name, one in self._prompt.tokens.items()}
        return {**processor_inputs(self._images, images), **texts}

    def run(self, inputs: dict[str, Any]) -> Any:
        with self._engine.running():
            outputs = self._forward(**to_device(inputs, self._engine.device))
        return in_float32(outputs, "logits", "pred_boxes")

    def read(self, output: Any, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        results = [
            self._read(logits, boxes, size)
            for logits, boxes, size in zip(output.logits, output.pred_boxes, sizes, strict=True)
        ]
        return tuple(read_boxes(result, model=self._checkpoint.name) for result in results)

    def _read(self, logits: torch.Tensor, boxes: torch.Tensor, size: Size) -> dict[str, torch.Tensor]:
        scores, label_ids, kept = classes_of_words(
            logits.sigmoid(), self._prompt.owners, len(self._wanted.names)
        )
        kept &= scores > self._wanted.box_threshold
        return {"scores": scores[kept], "labels": label_ids[kept], "boxes": to_xyxy_px(boxes[kept], size)}


class OmDetTurbo:
    """A ``Network`` over OmDet-Turbo, read by its processor's own rules, which suppress doubled boxes.

    The model itself remembers what the names mean from image to image, in the precision of the engine.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        size = checkpoint.config.cache_size
        model = with_attributes(
            checkpoint.model,
            language_cache_class=OmDetTurboLRUCache(size),
            language_cache_prompt=OmDetTurboLRUCache(size),
        )
        self._images = replace(checkpoint, processor=checkpoint.processor.image_processor)
        names = _require_names(checkpoint, wanted.names)
        self._names = _tokens(checkpoint, names)
        self._task = _tokens(checkpoint, [f"Detect {', '.join(names)}."])
        self._forward = engine.compile(model.forward)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        n = len(images)
        return {
            **processor_inputs(self._images, images),
            **{f"classes_{name}": one.repeat(n, 1) for name, one in self._names.items()},
            **{f"tasks_{name}": one.repeat(n, 1) for name, one in self._task.items()},
            "classes_structure": torch.full((n,), len(self._wanted.names)),
        }

    def run(self, inputs: dict[str, Any]) -> Any:
        named = {name: value for name, value in inputs.items() if name != "pixel_mask"}
        with self._engine.running():
            outputs = self._forward(**to_device(named, self._engine.device))
        return in_float32(outputs, "decoder_coord_logits", "decoder_class_logits")

    def read(self, output: Any, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        output.classes_structure = torch.full((len(sizes),), len(self._wanted.names))
        results = self._checkpoint.processor.post_process_grounded_object_detection(
            output, threshold=self._wanted.box_threshold, target_sizes=height_width(sizes)
        )
        return tuple(read_boxes(result, model=self._checkpoint.name) for result in results)


class Owl:
    """A ``Network`` over OWL-ViT and OWLv2, read by their processors' own rules.

    The names go through the text encoder once, as "a photo of a ...", not again with every image.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        self._images = replace(checkpoint, processor=checkpoint.processor.image_processor)
        names = _require_names(checkpoint, wanted.names)
        model = checkpoint.model
        length = checkpoint.config.text_config.max_position_embeddings
        texts = _tokens(checkpoint, [f"a photo of a {name}" for name in names], length=length)
        with engine.running():
            encoder = model.owlvit if hasattr(model, "owlvit") else model.owlv2
            self._texts = encoder.get_text_features(**to_device(texts, engine.device)).pooler_output  # (N, d)
        self._detect = engine.compile(self._run_model)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        return processor_inputs(self._images, images)

    def run(self, inputs: dict[str, Any]) -> SimpleNamespace:
        pixels = to_device(inputs, self._engine.device)["pixel_values"]
        with self._engine.running():
            logits, boxes = self._detect(pixels)
        require_numbers(logits)
        return SimpleNamespace(logits=logits.float().cpu(), pred_boxes=boxes.float().cpu())

    def read(self, output: SimpleNamespace, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        results = self._images.processor.post_process_object_detection(
            output, threshold=self._wanted.box_threshold, target_sizes=height_width(sizes)
        )
        return tuple(read_boxes(result, model=self._checkpoint.name) for result in results)

    def _run_model(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, patches, names) and boxes (B, patches, 4)."""
        model = self._checkpoint.model
        features, _ = model.image_embedder(pixels)  # (B, h, w, d)
        flat = features.flatten(1, 2)
        logits, _ = model.class_predictor(flat, self._texts.expand(len(pixels), -1, -1))
        return logits, model.box_predictor(flat, features)


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """The ``tokens`` (1, T) of a prompt, and whose word each is: ``owners`` (T,), -1 for what is no word."""

    tokens: dict[str, torch.Tensor]
    owners: torch.Tensor


def make_prompt(checkpoint: Checkpoint, names: Sequence[str]) -> Prompt:
    """The prompt of Grounding DINO that asks for these names, in their order.

    ModelError if there is no name, a name without letters, or more than the model can read.
    """
    phrases = [_SEPARATORS.sub(" ", name).strip().lower() for name in _require_names(checkpoint, names)]
    starts = [0]
    for phrase in phrases:
        starts.append(starts[-1] + len(phrase) + 2)
    tokens = checkpoint.processor.tokenizer(
        "".join(f"{phrase}. " for phrase in phrases).strip(),
        return_offsets_mapping=True,
        return_token_type_ids=True,
        return_tensors="pt",
    )
    first, last = tokens["offset_mapping"][0].T  # in letters, half-open; equal for what stands in no text
    owners = torch.full_like(first, -1)
    for i, (start, phrase) in enumerate(zip(starts, phrases, strict=False)):
        owners[(first >= start) & (last <= start + len(phrase)) & (first < last)] = i
    for i, name in enumerate(names):
        if not (owners == i).any():
            raise ModelError(f"{checkpoint.name} cannot look for a class named {name!r}: name it in words")
    if len(owners) > checkpoint.config.max_text_len:
        raise ModelError(
            f"{checkpoint.name} reads {checkpoint.config.max_text_len} words at most, and the names of "
            f"{len(names)} classes are {len(owners)}: look for fewer classes"
        )
    texts = ("input_ids", "token_type_ids", "attention_mask")
    return Prompt({name: tokens[name] for name in texts}, owners)


def classes_of_words(
    probabilities: torch.Tensor, owners: torch.Tensor, n_names: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores, label ids and whether the text threshold is passed, all (Q,), from (Q, T or more) per word.

    The class is the one with the largest mean over its words, the score the largest probability of one.
    """
    mine = owners[None] == torch.arange(n_names)[:, None]  # (names, T)
    words = probabilities[:, : len(owners)]
    means = words @ mine.T.float() / mine.sum(1)  # (Q, names)
    best, label_ids = means.max(1)
    scores = words.masked_fill(~mine[label_ids], 0.0).max(1).values
    return scores, label_ids, best > TEXT_THRESHOLD


def _require_names(checkpoint: Checkpoint, names: Sequence[str]) -> list[str]:
    if not names:
        raise ModelError(
            f"{checkpoint.name} looks for classes by name, and there is none: add things to [[classes]]"
        )
    return list(names)


def _tokens(checkpoint: Checkpoint, texts: list[str], *, length: int = 77) -> dict[str, torch.Tensor]:
    """The texts as CLIP's text encoders take them, (N, length); longer ones are cut."""
    tokens = checkpoint.processor.tokenizer(
        texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    return {name: tokens[name] for name in ("input_ids", "attention_mask")}
