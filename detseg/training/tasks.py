"""What the models of each architecture learn: from which truth, in which inputs, by which figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional
from torchvision.transforms.v2 import InterpolationMode
from transformers import Mask2FormerImageProcessor

from detseg.models.checkpoints import Checkpoint
from detseg.models.engine import Engine
from detseg.models.labels import is_placeholder
from detseg.taxonomy import LabelClass
from detseg.training import torchvision_models
from detseg.training.adapt import BACKGROUND, image_processor
from detseg.training.augment import IGNORED, Example
from detseg.training.batches import MakeExample, box_example, pixel_example, segment_example
from detseg.training.evaluate import Split, Tally, tally_boxes, tally_pixels, tally_segments

_COLOURS = 3


@dataclass(frozen=True, slots=True)
class DetectionCollator:
    """Examples to the inputs of a detector.

    ``labels`` has for each image ``class_labels`` int64 (N,) and ``boxes`` float32 (N, 4), as centre and size
    in [0, 1].
    """

    processor: Any

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        inputs = dict(
            self.processor(
                images=[example.image for example in examples],
                annotations=[_to_coco(example, i) for i, example in enumerate(examples)],
                input_data_format="channels_first",
                return_tensors="pt",
            )
        )
        inputs["pixel_values"] = _fast(inputs["pixel_values"])
        wanted = ("class_labels", "boxes")
        inputs["labels"] = [{name: one[name] for name in wanted} for one in inputs["labels"]]
        return inputs


def _to_coco(example: Example, image_id: int) -> dict[str, Any]:
    """The truth as COCO's annotations, which the processors of all detectors read."""
    x0y0, x1y1 = example.boxes[:, :2], example.boxes[:, 2:]
    xywh = torch.cat((x0y0, x1y1 - x0y0), dim=1).tolist()
    entries = [
        {"category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for label, box in zip(example.labels.tolist(), xywh, strict=True)
    ]
    return {"image_id": image_id, "annotations": entries}


@dataclass(frozen=True, slots=True)
class SegmentCollator:
    """Examples with masks to the inputs of a universal segmenter.

    ``mask_labels`` has for each image the masks float32 (N, h, w), 0 and 1, ``class_labels`` int64 (N,). An
    object that is too small to have a pixel there is in neither. ``more`` are inputs that every image has,
    (1, ...) each.
    """

    processor: Any
    more: Mapping[str, torch.Tensor]

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        seen = self.processor(
            images=[example.image for example in examples],
            input_data_format="channels_first",
            return_tensors="pt",
        )
        inputs = {name: seen[name] for name in ("pixel_values", "pixel_mask") if name in seen}
        inputs["pixel_values"] = _fast(inputs["pixel_values"])
        for name, value in self.more.items():
            inputs[name] = value.expand(len(examples), *value.shape[1:])
        truth = [
            _unpack(layers, example.labels)
            for layers, example in zip(self._layers(examples), examples, strict=True)
        ]
        inputs["mask_labels"] = [masks for masks, _ in truth]
        inputs["class_labels"] = [labels for _, labels in truth]
        return inputs

    def _layers(self, examples: Sequence[Example]) -> torch.Tensor:
        """The layers of the masks where the processor puts the pixels: (B, L, h, w), 0 in what is padded.

        They go through it like images, three at a time in the place of the colours.
        """
        layers = [example.mask_layers for example in examples]
        n = -(-max(len(one) for one in layers) // _COLOURS) * _COLOURS
        full = [functional.pad(one.float(), (0, 0, 0, 0, 0, n - len(one))) for one in layers]
        starts = range(0, n, _COLOURS)
        parts = [_moved(self.processor, [one[i : i + _COLOURS] for one in full]) for i in starts]
        return torch.cat(parts, dim=1)


def _moved(processor: Any, maps: list[torch.Tensor]) -> torch.Tensor:
    """Maps of numbers (3, H, W) each where the processor puts the pixels of images: (B, 3, h, w)."""
    moved: torch.Tensor = processor(
        images=maps,
        do_rescale=False,
        do_normalize=False,
        resample=InterpolationMode.NEAREST_EXACT,
        input_data_format="channels_first",
        return_tensors="pt",
    )["pixel_values"]
    return moved


@dataclass(frozen=True, slots=True)
class PixelCollator:
    """Examples with one layer to the inputs of a semantic segmenter.

    ``labels`` int64 (B, h, w) are the classes of the pixels; ``IGNORED`` where the processor or a change of
    the image has put pixels that are not of the image.
    """

    processor: Any

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        images = [example.image for example in examples]
        seen = self.processor(images=images, input_data_format="channels_first", return_tensors="pt")
        maps = [example.mask_layers.float() for example in examples]
        numbers = _moved(self.processor, [one.expand(_COLOURS, -1, -1) for one in maps])[:, 0].long()
        outside = torch.tensor([IGNORED])
        classes = [torch.cat((outside, example.labels)) for example in examples]
        labels = torch.stack([own[one] for own, one in zip(classes, numbers, strict=True)])
        return {"pixel_values": _fast(seen["pixel_values"]), "labels": labels}


def _unpack(layers: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The masks (N, h, w) of the objects that layers (L, h, w) show, and their labels (N,)."""
    masks = [torch.zeros(0, *layers.shape[1:])]
    shown = []
    for layer in layers:
        numbers = torch.unique(layer)
        numbers = numbers[numbers > 0]
        masks.append((layer == numbers[:, None, None]).float())
        shown.append(numbers.long() - 1)
    return torch.cat(masks), labels[torch.cat(shown)]


def _fast(pixels: torch.Tensor) -> torch.Tensor:
    """The pixels in the order in which convolutions are fastest, on CPUs as on accelerators."""
    return pixels.contiguous(memory_format=torch.channels_last)


def make_segment_collator(processor: Any, panoptic: bool) -> SegmentCollator:
    """The collator of a universal segmenter's processor; one that is told its task in words is told here."""
    images = image_processor(processor)
    if not hasattr(processor, "task_seq_length"):
        return SegmentCollator(images, {})
    blank = torch.zeros(3, 32, 32, dtype=torch.uint8)
    told = processor([blank], task_inputs=["panoptic" if panoptic else "instance"], return_tensors="pt")
    # OneFormer's own needs a table of class names that no checkpoint has; the rest is Mask2Former's.
    shared = Mask2FormerImageProcessor().to_dict().keys() - {"image_processor_type"}
    settings = {name: value for name, value in images.to_dict().items() if name in shared}
    return SegmentCollator(Mask2FormerImageProcessor(**settings), {"task_inputs": told["task_inputs"]})


Collator = Callable[[Sequence[Example]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """A subject of training. ``masks``: from masks, else from boxes.

    ``make`` makes the truth of an image; ``collate`` makes what makes inputs, from a checkpoint's processor
    and the split with its classes; ``tally`` takes in what a model in evaluation mode finds in a split.
    ``surfaces`` are learned as well as things. ``every_pixel`` has a class, also those of nothing, which have
    a label behind those of the classes if it is ``named``.
    """

    masks: bool
    make: MakeExample
    collate: Callable[[Any, Split], Collator]
    tally: Callable[[Checkpoint, Split, Engine], Tally]
    surfaces: bool = False
    every_pixel: bool = False
    named: bool = False

    def learned(self, classes: Sequence[LabelClass]) -> tuple[LabelClass, ...]:
        """The classes of a version that the model answers. A surface called background is nothing, too."""
        return tuple(
            cls
            for cls in classes
            if (self.surfaces or cls.kind == "thing") and not (self.every_pixel and is_placeholder(cls.name))
        )

    def labels(self, learned: Sequence[LabelClass]) -> tuple[LabelClass, ...]:
        """The labels of the model: those classes, and behind them what stands for nothing."""
        return (*learned, BACKGROUND) if self.named else tuple(learned)


_BOXES = Task(False, box_example, lambda processor, _: DetectionCollator(processor), tally_boxes)
_SEGMENTS = Task(
    True,
    segment_example,
    lambda processor, split: make_segment_collator(processor, split.panoptic),
    tally_segments,
    surfaces=True,
)
_PIXELS = Task(
    True,
    pixel_example,
    lambda processor, _: PixelCollator(processor),
    tally_pixels,
    surfaces=True,
    every_pixel=True,
    named=True,
)

_TORCHVISION_BOXES = Task(False, box_example, lambda *_: torchvision_models.DetectorCollator(), tally_boxes)
_TORCHVISION_MASKS = replace(_TORCHVISION_BOXES, masks=True, make=segment_example, tally=tally_segments)
_TORCHVISION_PIXELS = replace(
    _PIXELS,
    collate=lambda inputs, split: torchvision_models.SemanticCollator(inputs, len(split.classes)),
    named=False,
)

TASKS: Mapping[str, Task] = {
    **dict.fromkeys(
        (
            "DetrForObjectDetection",
            "ConditionalDetrForObjectDetection",
            "DeformableDetrForObjectDetection",
            "DabDetrForObjectDetection",
            "RTDetrForObjectDetection",
            "RTDetrV2ForObjectDetection",
            "DFineForObjectDetection",
            "Deimv2ForObjectDetection",
            "LwDetrForObjectDetection",
            "RfDetrForObjectDetection",
            "YolosForObjectDetection",
            "TableTransformerForObjectDetection",
        ),
        _BOXES,
    ),
    **dict.fromkeys(
        (
            "fasterrcnn_resnet50_fpn",
            "fasterrcnn_resnet50_fpn_v2",
            "fasterrcnn_mobilenet_v3_large_fpn",
            "fasterrcnn_mobilenet_v3_large_320_fpn",
            "retinanet_resnet50_fpn",
            "retinanet_resnet50_fpn_v2",
            "fcos_resnet50_fpn",
            "ssd300_vgg16",
            "ssdlite320_mobilenet_v3_large",
        ),
        _TORCHVISION_BOXES,
    ),
    **dict.fromkeys(("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"), _TORCHVISION_MASKS),
    **dict.fromkeys(
        (
            "deeplabv3_mobilenet_v3_large",
            "deeplabv3_resnet50",
            "deeplabv3_resnet101",
            "fcn_resnet50",
            "fcn_resnet101",
            "lraspp_mobilenet_v3_large",
        ),
        _TORCHVISION_PIXELS,
    ),
    **dict.fromkeys(
        (
            "MaskFormerForInstanceSegmentation",
            "Mask2FormerForUniversalSegmentation",
            "OneFormerForUniversalSegmentation",
            "EomtForUniversalSegmentation",
            "EomtDinov3ForUniversalSegmentation",
        ),
        _SEGMENTS,
    ),
    **dict.fromkeys(
        (
            "SegformerForSemanticSegmentation",
            "UperNetForSemanticSegmentation",
            "DPTForSemanticSegmentation",
            "BeitForSemanticSegmentation",
            "Data2VecVisionForSemanticSegmentation",
            "MobileNetV2ForSemanticSegmentation",
            "MobileViTForSemanticSegmentation",
            "MobileViTV2ForSemanticSegmentation",
        ),
        _PIXELS,
    ),
}
"""The architectures that can be trained."""
