"""detseg: the command ``detseg predict`` from image files to JSON with masks, and the bare forward pass.

Both run in one process, with one loaded (and compiled) model, so that nothing but the work around the
forward pass differs between them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.worker import serve
from detseg.cli.app import app
from detseg.config import load_settings
from detseg.images import read_image
from detseg.pipeline import predictors


class Detseg:
    """One engine and precision; models by the name of the answer: ``both`` or ``detection``."""

    def __init__(self, engine: str, precision: str, out: Path) -> None:
        self._choice = {"engine__mode": engine, "engine__precision": precision, "engine__device": "cpu"}
        self._out = out
        self._names: dict[str, dict[str, str]] = {}

    def load(self, answer: str, names: dict[str, str], photos: list[str]) -> dict[str, float]:
        """Seconds to load, and how much longer than later ones the first forward passes take."""
        self._names[answer] = {"model__detector": "", "model__segmenter": ""} | names
        start = time.perf_counter()
        self._predictor(answer)
        loaded = time.perf_counter() - start
        first, again = (self.forward(answer, photos)["s"] * len(photos) for _ in range(2))
        return {"load_s": loaded, "first_s": first, "again_s": again}

    def wake(self, photo: str) -> None:
        """Both models once, after a rest, by the command: whatever has to be compiled again is, here."""
        for answer in self._names:
            self.predict(answer, [photo])

    def predict(self, answer: str, photos: list[str]) -> dict[str, Any]:
        """Seconds per photo of the whole command, once the model is there, and the file that it wrote."""
        before = self._predictor(answer)
        out = self._out / answer
        options = [f"--{key}={value}" for key, value in (self._choice | self._names[answer]).items()]
        start = time.perf_counter()
        app(["predict", *photos, "--out", str(out), "--no-pictures", *options], standalone_mode=False)
        seconds = time.perf_counter() - start
        if self._predictor(answer) is not before:
            raise RuntimeError("the command loaded its model again: this is no time of a warm one")
        return {"s": seconds / len(photos), "file": str(out / "predictions.json")}

    def forward(self, answer: str, photos: list[str]) -> dict[str, float]:
        """Seconds per photo in the network alone, from prepared inputs to raw outputs."""
        predictor = self._predictor(answer)
        inputs = [predictor.prepare((read_image(photo),)) for photo in photos]
        start = time.perf_counter()
        for one in inputs:
            predictor.forward(one)
        return {"s": (time.perf_counter() - start) / len(photos)}

    def _predictor(self, answer: str) -> Any:
        flags: dict[str, Any] = self._choice | self._names[answer]
        settings = load_settings(**flags)
        return predictors.load(predictors.predictor_settings(settings), n_images=1)


def main(options: str) -> None:
    contender = Detseg(**{**(given := json.loads(options)), "out": Path(given["out"])})
    serve(
        {
            "load": contender.load,
            "wake": contender.wake,
            "predict": contender.predict,
            "forward": contender.forward,
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
