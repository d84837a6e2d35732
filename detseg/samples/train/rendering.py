"""The scenes of a training as files: pictures, and tables of their truth as a dataset version has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

from PIL import Image

from detseg.catalog.region_json import encode_regions
from detseg.datasets.sample import Sample, encode_sample
from detseg.files import replacing
from detseg.images import decode_image, image_id
from detseg.samples.scenes import generate_scene
from detseg.training.tables import SampleTable, write_table
from detseg.types import DecodedImage, Region, RegionId

TRAIN_SEEDS_FROM = 1_000_000
HELD_OUT_SEEDS = range(1000)
PROGRESS_SEEDS = range(10_000, 10_100)

_SHARD = 250
_QUICK = 1
"""PNG's lowest compression: the files are read often and thrown away."""


def render(
    folder: Path, seeds: range, *, n_workers: int, report: Callable[[int], None] = lambda _: None
) -> SampleTable:
    """Render what is missing of the scenes of those seeds; their table. ``report`` gets how many are there.

    Shards of 250 scenes are written whole: a killed rendering goes on where it stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = [seeds[i : i + _SHARD] for i in range(0, len(seeds), _SHARD)]
    tables = []
    with ProcessPoolExecutor(n_workers) as pool:
        for path in pool.map(partial(_render_shard, folder), shards):
            tables.append(SampleTable(path))
            report(sum(map(len, tables)))
    rows = (encode_sample(table[i]) for table in tables for i in range(len(table)))
    return write_table(folder / f"{_name(seeds)}-all.arrow", rows)


def read_scene(sample: Sample) -> DecodedImage:
    """The picture of a sample, where ``render`` wrote it."""
    return decode_image(Path(sample.uri).read_bytes(), sample.uri)


def _name(seeds: Sequence[int]) -> str:
    return f"{seeds[0]}-{len(seeds)}"


def _render_shard(folder: Path, seeds: Sequence[int]) -> Path:
    table = folder / f"{_name(seeds)}.arrow"
    if not table.exists():
        write_table(table, (encode_sample(_render_one(folder, seed)) for seed in seeds))
    return table


def _render_one(folder: Path, seed: int) -> Sample:
    """Write the picture of a scene; the scene as a sample."""
    scene = generate_scene(seed)
    packed = BytesIO()
    Image.fromarray(scene.image).save(packed, "PNG", compress_level=_QUICK)
    path = folder.absolute() / f"{seed}.png"
    with replacing(path, binary=True) as file:
        file.write(packed.getvalue())
    regions = [Region(RegionId(str(i)), "person", one) for i, one in enumerate(scene.instances)]
    return Sample(
        image=image_id(packed.getvalue()),
        size=scene.size,
        state="labeled",
        regions=encode_regions(regions),
        author="truth",
        uri=str(path),
    )
