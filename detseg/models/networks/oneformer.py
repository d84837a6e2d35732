"""OneFormer: universal segmentation that is told in words what to do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from transformers import AutoProcessor, Mask2FormerImageProcessor

from detseg.models.checkpoints import Checkpoint, load_with_processor
from detseg.models.inputs import processor_inputs
from detseg.models.network import RawDetection
from detseg.models.networks.universal import Universal, post_process, read_segments
from detseg.types import DecodedImage, Size


class OneFormer(Universal):
    """The task "panoptic" or "instance", said to the model and read by its rules.

    By instance, the rules are those of the paper's code, which are Mask2Former's. The library's own for
    OneFormer (transformers 5.23.0) let the masks compete for every pixel, by logits and without a background,
    so that each image is covered with things.
    """

    def prepare(self, images: Sequence[DecodedImage]) -> dict[str, Any]:
        task = "panoptic" if self._wanted.panoptic else "instance"
        return processor_inputs(self._checkpoint, images, task_inputs=[task] * len(images))

    def read(
        self, output: Sequence[SimpleNamespace], sizes: Sequence[Size]
    ) -> tuple[tuple[RawDetection, ...], ...]:
        images = self._checkpoint.processor.image_processor
        processor = images if self._wanted.panoptic else Mask2FormerImageProcessor()
        return tuple(
            read_segments(post_process(processor, one, [size], wanted=self._wanted)[0])
            for one, size in zip(output, sizes, strict=True)
        )


def load_oneformer(name: str, architecture: str) -> Checkpoint:
    """A OneFormer with its processor, without the table of class names.

    Only training reads that table, and it is not part of a checkpoint: the processor would download it.
    """
    return load_with_processor(
        name, architecture, partial(AutoProcessor.from_pretrained, class_info_file=None)
    )
