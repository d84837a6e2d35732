"""The models of torchvision: detectors with their own resizing and suppression, Mask R-CNN, semantic ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks
from torchvision.models.detection.transform import resize_boxes
from torchvision.transforms.functional import normalize, resize

from detseg.errors import ImageError
from detseg.geometry.runs import paste_bitmap
from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.inputs import require_numbers
from detseg.models.network import NetworkRequest, RawDetection, lowest_score
from detseg.models.networks.detection import read_box
from detseg.models.networks.semantic import class_map, read_regions
from detseg.models.networks.sharing import with_forward
from detseg.types import DecodedImage, Mask, Size

_MASK_PADDING = 1
"""torchvision's: a mask of M x M probabilities is pasted with a border of 0, so that it ends inside."""


THINNEST = 16
"""Semantic models see the shorter side at one size: of a thin image, the longer one would fill any memory."""


class TorchvisionDetector:
    """A ``Network`` over Faster R-CNN, Mask R-CNN, RetinaNet, FCOS and SSD.

    The wanted score goes into the model, before its suppression: what is below it can suppress nothing that
    is above, so the answer is that of thresholding afterwards. Masks stay at their 28 x 28 until ``read``
    pastes them, one at a time. Only the backbone runs in half precision: boxes in pixels have no room in it.
    """

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        model = checkpoint.model
        heads = getattr(model, "roi_heads", model)
        heads.score_thresh = lowest_score(wanted)
        if hasattr(model, "roi_heads") and not wanted.masks:
            heads.mask_roi_pool = heads.mask_head = heads.mask_predictor = None
        model.transform.postprocess = _scale_boxes
        model.to(memory_format=torch.channels_last)
        self._backbone = engine.compile(model.backbone.forward)
        self._model = with_forward(model, "backbone", self._run_backbone)

    def prepare(self, images: Sequence[DecodedImage]) -> list[torch.Tensor]:
        return [image_to_tensor(image).float().div_(255) for image in images]  # (3, H, W) each

    def run(self, inputs: Sequence[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        with torch.no_grad():
            results = self._model([one.to(self._engine.device) for one in inputs])
        return [{name: value.cpu() for name, value in result.items()} for result in results]

    def read(
        self, output: Sequence[dict[str, torch.Tensor]], sizes: Sequence[Size]
    ) -> tuple[tuple[RawDetection, ...], ...]:
        return tuple(self._read(result, size) for result, size in zip(output, sizes, strict=True))

    def _run_backbone(self, pixels: torch.Tensor) -> Any:
        with self._engine.running():
            features = self._backbone(pixels.contiguous(memory_format=torch.channels_last))
        if isinstance(features, torch.Tensor):
            require_numbers(features)
            return features.float()
        require_numbers(list(features.values())[-1])  # the deepest, made of all others
        return type(features)((name, value.float()) for name, value in features.items())

    def _read(self, result: dict[str, torch.Tensor], size: Size) -> tuple[RawDetection, ...]:
        rows = zip(*(result[name].tolist() for name in ("scores", "labels", "boxes")), strict=True)
        detections = []
        for i, (score, label_id, xyxy_px) in enumerate(rows):
            box = read_box(xyxy_px, model=self._checkpoint.name)
            mask = None
            if self._wanted.masks and score > self._wanted.mask_threshold:
                mask = self._paste(result["masks"][i], result["boxes"][i], size)
            seen = self._wanted.boxes and score > self._wanted.box_threshold
            if label_id in self._checkpoint.config.id2label and (seen or mask):
                detections.append(RawDetection(label_id, score, box if seen else None, mask))
        return tuple(detections)

    def _paste(self, probabilities: torch.Tensor, box: torch.Tensor, size: Size) -> Mask:
        """``paste_mask_in_image`` of torchvision for (1, M, M) probabilities, in the box alone."""
        padded, scale = expand_masks(probabilities[None], padding=_MASK_PADDING)
        x0, y0, x1, y1 = expand_boxes(box[None], scale).to(torch.int64)[0].tolist()
        grown = functional.interpolate(
            padded, size=(max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)), mode="bilinear", align_corners=False
        )[0, 0]
        left, top = max(x0, 0), max(y0, 0)
        inside = grown[top - y0 : min(y1 + 1, size.height) - y0, left - x0 : min(x1 + 1, size.width) - x0]
        return paste_bitmap((inside >= self._wanted.pixel_threshold).numpy(), size, x0=left, y0=top)


class TorchvisionSemantic:
    """A ``Network`` over DeepLabV3, FCN and LR-ASPP. Pixels of a label without a name are of no class."""

    def __init__(self, checkpoint: Checkpoint, wanted: NetworkRequest, engine: Engine) -> None:
        self._checkpoint, self._wanted, self._engine = checkpoint, wanted, engine
        if getattr(checkpoint.model, "aux_classifier", None) is not None:
            checkpoint.model.aux_classifier = None  # it helps training only
        self._forward = engine.compile(checkpoint.model.forward)

    def prepare(self, images: Sequence[DecodedImage]) -> torch.Tensor:
        """(B, 3, h, w), as torchvision's ``SemanticSegmentation`` makes it."""
        how, size = self._checkpoint.processor, images[0].size
        if max(size.width, size.height) > THINNEST * min(size.width, size.height):
            raise ImageError(
                f"cannot be predicted by {self._checkpoint.name} at {size} pixels "
                f"(it is more than {THINNEST} times as long as wide)"
            )
        pixels = torch.stack([image_to_tensor(image) for image in images])
        pixels = resize(pixels, [how.resize_size], antialias=True)
        normalized: torch.Tensor = normalize(pixels.float().div_(255), how.image_mean, how.image_std)
        return normalized

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        pixels = inputs.to(self._engine.device, memory_format=torch.channels_last)
        with self._engine.running():
            logits: torch.Tensor = self._forward(pixels)["out"]  # (B, labels, h, w)
        require_numbers(logits)
        return logits.float().cpu()

    def read(self, output: torch.Tensor, sizes: Sequence[Size]) -> tuple[tuple[RawDetection, ...], ...]:
        return tuple(self._read(logits, size) for logits, size in zip(output, sizes, strict=True))

    def _read(self, logits: torch.Tensor, size: Size) -> tuple[RawDetection, ...]:
        found = read_regions(
            *class_map(logits, size),
            threshold=self._wanted.mask_threshold,
            seen_px=math.prod(logits.shape[-2:]),
        )
        return tuple(one for one in found if one.label_id in self._checkpoint.config.id2label)


def _scale_boxes(
    results: list[dict[str, torch.Tensor]], resized: list[Any], original: list[Any]
) -> list[dict[str, torch.Tensor]]:
    """torchvision's last step without the pasting: boxes in pixels of the images, masks still (N, 1, M, M).

    The shapes of the images, resized and original, are (height, width).
    """
    shapes = zip(results, resized, original, strict=True)
    return [one | {"boxes": resize_boxes(one["boxes"], before, after)} for one, before, after in shapes]


def image_to_tensor(image: DecodedImage) -> torch.Tensor:
    """The pixels as uint8 (3, H, W). A copy, because torch warns of arrays that may not be written to."""
    return torch.from_numpy(image.rgb.copy()).permute(2, 0, 1)
