"""Universal segmentation: every query is a mask with class scores. Scores first, masks of survivors later."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from detseg.geometry.label_maps import segments_to_masks
from detseg.geometry.masks import bitmap_to_mask
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.inputs import height_width, processor_inputs, require_numbers, to_device
from detseg.models.network import NetworkRequest, RawDetection
from detseg.types import DecodedImage, Size


class Universal:
    """A ``Network`` over MaskFormer, Mask2Former, EoMT and their kin, read by their processors' own rules.

    Those rules upsample every mask to the size of the image before most are thrown away. Here the queries
    that cannot survive are left out first, which changes nothing but the cost.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        self._forward = engine.compile(checkpoint.model.forward)

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        return processor_inputs(self._checkpoint, images)

    def run(self, inputs: dict[str, Any]) -> list[SimpleNamespace]:
        with self._engine.running(inputs["pixel_values"].shape[-1]):
            outputs = self._forward(**to_device(inputs, self._engine.device))
        pairs = zip(outputs.class_queries_logits.float(), outputs.masks_queries_logits, strict=True)
        return [self._surviving(logits, masks) for logits, masks in pairs]

    def read(
        self, output: Sequence[SimpleNamespace], sizes: Sequence[Size]
    ) -> tuple[tuple[RawDetection, ...], ...]:
        return tuple(
            read_segments(post_process(self._checkpoint.processor, one, [size], wanted=self._wanted)[0])
            for one, size in zip(output, sizes, strict=True)
        )

    def _surviving(self, logits: torch.Tensor, masks: torch.Tensor) -> SimpleNamespace:
        """The output of one image, without the queries that cannot survive; a batch of 1."""
        require_numbers(logits)
        keep = surviving_queries(
            logits, threshold=self._wanted.mask_threshold, panoptic=self._wanted.panoptic
        )
        return SimpleNamespace(
            class_queries_logits=logits[keep][None].cpu(),  # (1, N, labels + 1)
            masks_queries_logits=masks[keep][None].float().cpu(),  # (1, N, h, w)
        )


def surviving_queries(logits: torch.Tensor, *, threshold: float, panoptic: bool) -> torch.Tensor:
    """The indices, in their order, of the queries that can make a segment: from logits (queries, labels + 1).

    Panoptic: the best label is a real one, with a score above the threshold. By instance every pair of query
    and label with at least the threshold competes, and the best ones, as many as there are queries, win; so
    at least as many queries are kept as there are such pairs.
    """
    probabilities = logits.softmax(-1)
    if panoptic:
        scores, label_ids = probabilities.max(-1)
        return torch.nonzero((label_ids != logits.shape[-1] - 1) & (scores > threshold))[:, 0]
    things = probabilities[:, :-1]
    n_pairs = min(int((things >= threshold).sum()), len(logits))
    best_first = things.max(-1).values.argsort(descending=True, stable=True)
    n_queries = max(n_pairs, int((things.max(-1).values >= threshold).sum()))
    return best_first[:n_queries].sort().values


def post_process(processor: Any, outputs: Any, sizes: Sequence[Size], *, wanted: NetworkRequest) -> Any:
    """The library's own segments of a raw output, one answer per image.

    Panoptic, or by instance where a checkpoint knows things only: without stuff there is no background that
    takes the pixels of no thing, and the panoptic form would give them all to the things.

    Stuff is not fused here (``label_ids_to_fuse`` stays empty) but in ``read_findings``: in transformers
    5.23.0 a segment that follows a fused one may get the number of an earlier segment, and both become one.
    """
    if outputs.class_queries_logits.shape[1] == 0:  # the library cannot interpolate no masks
        return [{"segmentation": torch.full((h, w), -1), "segments_info": []} for h, w in height_width(sizes)]
    kind = "panoptic" if wanted.panoptic else "instance"
    method = getattr(processor, f"post_process_{kind}_segmentation")
    arguments = {
        "threshold": wanted.mask_threshold,
        "mask_threshold": wanted.pixel_threshold,
        "overlap_mask_area_threshold": wanted.overlap_threshold,
        "label_ids_to_fuse": set(),
        "return_binary_maps": True,
        "target_sizes": height_width(sizes),
    }
    taken = inspect.signature(method).parameters
    return method(outputs, **{name: value for name, value in arguments.items() if name in taken})


def read_segments(result: Any) -> tuple[RawDetection, ...]:
    """The detections of one image, from (H, W) of segment ids or (N, H, W) of 0 and 1, and their labels."""
    maps, infos = result["segmentation"].cpu().numpy(), result["segments_info"]
    if maps.ndim == 3:
        masks = tuple(bitmap_to_mask(one > 0) for one in maps)
    else:
        masks = segments_to_masks(maps, [info["id"] for info in infos])
    return tuple(
        RawDetection(int(info["label_id"]), float(info["score"]), mask=mask)
        for info, mask in zip(infos, masks, strict=True)
    )
