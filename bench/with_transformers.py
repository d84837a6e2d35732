"""transformers as its documentation shows it: the detection pipeline, or the panoptic model with the
library's own post-processing. From an image file to its answer; float32, not compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from transformers import DetrForSegmentation, DetrImageProcessor, pipeline

from bench.worker import seconds_each, serve

THRESHOLD = 0.5


def detection(checkpoint: str) -> Callable[[str], int]:
    """Photo to number of boxes."""
    pipe = pipeline("object-detection", model=checkpoint, device="cpu")
    return lambda photo: len(pipe(photo, threshold=THRESHOLD))


def segmentation(checkpoint: str) -> Callable[[str], int]:
    """Photo to number of segments."""
    model: Any = DetrForSegmentation.from_pretrained(checkpoint)
    model.eval()
    processor: Any = DetrImageProcessor.from_pretrained(checkpoint)

    def segment(photo: str) -> int:
        with Image.open(photo) as file:
            image = file.convert("RGB")
        inputs = processor(image, return_tensors="pt")
        with torch.inference_mode():
            outputs = model(**inputs)
        size = (image.height, image.width)
        found = processor.post_process_panoptic_segmentation(
            outputs, threshold=THRESHOLD, target_sizes=[size], label_ids_to_fuse=set()
        )
        return len(found[0]["segments_info"])

    return segment


def main(task: str, checkpoint: str) -> None:
    answer = {"detection": detection, "segmentation": segmentation}[task](checkpoint)
    serve(
        {
            "warm_up": lambda photo: {"n": answer(photo)},
            "run": lambda photos: {"s": seconds_each(answer, photos)},
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
