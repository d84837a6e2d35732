"""``python -m bench.duplicates``: how well near duplicates are found, and how long that takes among many.

Plants resized, recompressed, cropped, brighter and mirrored copies among the images of ``--images`` (a folder
of folders, as ../shared/data) and made scenes. Then finds the duplicates among made features of ``--many``
images, a twentieth of which have a copy, in a process of its own. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from detseg.datasets.duplicates import find_duplicates, stack_features
from detseg.images import read_image
from detseg.images.fingerprints import fingerprint
from detseg.samples.scenes import generate_scene
from detseg.types import ImageFeatures, ImageId, Size

_MARGIN = 0.05

_MANY = """
import json, re, sys, time
from pathlib import Path
import numpy as np
from detseg.datasets.duplicates import find_duplicates, stack_features
from detseg.images.fingerprints import fingerprint
from detseg.types import Embedding, Fingerprint, ImageFeatures

n = int(sys.argv[1])
rng = np.random.default_rng(1)

def made():
    small = None
    for i in range(n):
        if i % 20 or small is None:
            small = rng.normal(128, 60, (11, 11, 1)).repeat(3, 2)
            values = rng.normal(0, 1, 256)
        pixels = np.kron(small, np.ones((3, 3, 1)))[:32, :32] + rng.normal(0, 4, (32, 32, 3))
        noisy = values + rng.normal(0, 0.02, 256)
        embedding = Embedding("made@1", (noisy / np.linalg.norm(noisy)).astype(np.float16))
        yield ImageFeatures(f"{i:08d}", fingerprint(pixels.clip(0, 255).astype(np.uint8)), embedding)

features = stack_features(made())
begun, cpu = time.perf_counter(), time.process_time()
found = find_duplicates(features)
seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
status = Path("/proc/self/status").read_text()
peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1))
planted = {(f"{i - 1:08d}", f"{i:08d}") for i in range(20, n, 20)}
hits = len(planted & set(found.pairs))
print(json.dumps({"images": n, "seconds": round(seconds, 2), "cpu_s": round(cpu, 2), "peak_bytes": peak,
                  "recall": hits / len(planted), "precision": hits / len(found.pairs)}))
"""


def _recompressed(image: Image.Image) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=30)
    return Image.open(data).convert("RGB")


def _cropped(image: Image.Image, x: float, y: float) -> Image.Image:
    """Without a margin of 5 %, of which the shares x and y are at the left and at the top."""
    width, height = image.size
    dx, dy = round(width * _MARGIN), round(height * _MARGIN)
    left, top = round(dx * x), round(dy * y)
    return image.crop((left, top, left + width - dx, top + height - dy))


COPIES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((max(1, image.width // 2), max(1, image.height // 2))),
    "larger": lambda image: image.resize((image.width * 3 // 2, image.height * 3 // 2)),
    "recompressed": _recompressed,
    "cropped to the centre": lambda image: _cropped(image, 0.5, 0.5),
    "cropped to a corner": lambda image: _cropped(image, 1, 1),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
}
"""The copies that are duplicates of their image, and of each other."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares in [0, 1] of the planted pairs that were found, and of those found that were planted.

    ``wrong`` has the names of pairs that were not.
    """

    images: int
    recall: float
    precision: float
    wrong: tuple[tuple[str, str], ...]


def measure(images: Iterable[tuple[str, Image.Image]]) -> Accuracy:
    """Find the duplicates among images, the copies of each, and its mirror image."""
    features: list[ImageFeatures] = []
    names: dict[ImageId, str] = {}
    planted: set[tuple[ImageId, ImageId]] = set()
    for name, image in images:
        copies = {"": image, **{how: make(image) for how, make in COPIES.items()}}
        ids = []
        for how, copy in (*copies.items(), ("mirrored", ImageOps.mirror(image))):
            ids.append(ImageId(f"{len(names):06d}"))
            names[ids[-1]] = f"{name} {how}".strip()
            features.append(ImageFeatures(ids[-1], fingerprint(np.asarray(copy))))
        planted |= set(combinations(ids[:-1], 2))
    clusters = find_duplicates(stack_features(features)).clusters
    found = {pair for cluster in clusters for pair in combinations(cluster, 2)}
    wrong = sorted(found - planted)
    return Accuracy(
        images=len(features),
        recall=len(found & planted) / len(planted),
        precision=len(found & planted) / len(found) if found else 1.0,
        wrong=tuple((names[one], names[other]) for one, other in wrong[:10]),
    )


def photos(folder: Path, *, every: int = 1) -> Iterator[tuple[str, Image.Image]]:
    """The images in the folder's folders, or one in so many of them."""
    files = sorted(folder.glob("*/images/*"))
    for file in files[::every]:
        yield file.name, Image.fromarray(read_image(str(file)).rgb)


def scenes(n: int) -> Iterator[tuple[str, Image.Image]]:
    for seed in range(n):
        yield f"scene {seed}", Image.fromarray(generate_scene(seed, Size(320, 240)).image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--many", type=int, default=100_000)
    asked = parser.parse_args()

    def all_images() -> Iterator[tuple[str, Image.Image]]:
        if asked.images:
            yield from photos(asked.images)
        yield from scenes(asked.scenes)

    accuracy = measure(all_images())
    command = [sys.executable, "-c", _MANY, str(asked.many)]
    many = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(json.dumps({"accuracy": asdict(accuracy), "many": many}))


if __name__ == "__main__":
    main()
