"""Breaks image files in seeded ways and reads them, and counts what must never come of it.

    python -m tests.images.broken 10000 1            # ten thousand broken files, by seed 1
    python -m tests.images.broken 10000 1 --only 17  # the same file number 17 alone, kept as broken-1-17

Each file is read in a process apart, which is ended if it takes too long. Whatever is not an image or an
ImageError counts as a crash, and so does what is printed. Time is that of the processor.
"""

from __future__ import annotations

import argparse
import json
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from random import Random

from PIL import Image

from detseg.paging import pages
from tests.images.made import Tag, app1, chunk, encoded, exif, flat_png, flat_webp, jpeg, png
from tests.images.oriented import oriented_files, resized_files
from tests.images.worker import Outcome, reader

_SIDES = (0, 1, 2, 255, 9_400, 9_459, 16_383, 16_384, 65_500, 65_535, 65_536, (1 << 24) - 1, (1 << 31) - 1)
_PER_PROCESS = 200  # files, so that what goes wrong is said soon
_MODES = {
    "AVIF": ("RGB", "RGBA", "L"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("L", "P"),
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr", "LAB"),
    "WEBP": ("RGB", "RGBA"),
    **dict.fromkeys(("EPS", "ICO", "JPEG2000", "PCX", "PDF", "PPM", "SGI", "TGA"), ("RGB",)),
}
_COMPRESSIONS = ("group4", "jpeg", "packbits", "tiff_adobe_deflate", "tiff_lzw", "lzma", "zstd")


@cache
def whole_files() -> Mapping[str, bytes]:
    """Files that are read, or refused for their format, of every kind."""
    noise = Image.effect_noise((120, 90), 60)
    colours = Image.merge("RGB", (noise, noise.rotate(90, expand=False), noise.rotate(180)))
    found = {**oriented_files(), **resized_files()}
    for format_, modes in _MODES.items():
        for mode in modes:
            picture = noise.convert("I").convert("I;16") if mode == "I;16" else _in_mode(colours, mode)
            found[f"{format_} {mode}"] = encoded(picture, format_)
    for compression in _COMPRESSIONS:
        picture = colours.convert("1") if compression == "group4" else colours
        found[f"TIFF {compression}"] = encoded(picture, "TIFF", compression=compression)
    for format_ in ("AVIF", "GIF", "MPO", "PNG", "TIFF", "WEBP"):
        found[f"{format_} frames"] = encoded(
            colours, format_, save_all=True, append_images=[colours.rotate(90)] * 2
        )
    return found | {
        "TIFF big": encoded(colours, "TIFF", big_tiff=True),
        "JPEG progressive": encoded(colours, "JPEG", progressive=True),
        "JPEG restarts": encoded(colours, "JPEG", restart_marker_blocks=3),
        "WEBP lossless": encoded(colours, "WEBP", lossless=True, exif=exif(Tag(0x0112, 3, 1, 6))),
        "PNG interlaced": flat_png(90, 70).replace(
            *(chunk(b"IHDR", struct.pack(">IIBBBBB", 90, 70, 8, 0, 0, 0, passes)) for passes in (0, 1))
        ),
        "PNG large": flat_png(9_400, 9_400, bits=1),
        "WEBP large": flat_webp(7_400, 7_400),
        "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 90, 120, 8, 3) + bytes(200),
    }


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.merge("LAB", picture.split())
    return picture.convert("L").convert("LA") if mode == "LA" else picture.convert(mode)


def broken_file(seed: int, number: int) -> tuple[str, bytes]:
    """A broken file, and what was done to which."""
    random = Random(f"{seed} {number}")
    files = whole_files()
    name = random.choice(sorted(files))
    data, done = files[name], []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        how = random.choice(_WAYS)
        data = how(data, random)
        done.append(how.__name__.removeprefix("_"))
    return f"{name}: {', '.join(done)}", data


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _flip(data: bytes, random: Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(random.choice((1, 2, 8, 64)) if data else 0):
        at = random.randrange(min(len(data), random.choice((64, 1_024, len(data)))))
        flipped[at] ^= 1 << random.randrange(8)
    return _with_checksums(bytes(flipped)) if random.random() < 0.7 else bytes(flipped)


def _overwrite(data: bytes, random: Random) -> bytes:
    at, n = random.randrange(len(data) + 1), random.choice((1, 2, 4, 16, 200))
    return _with_checksums(
        data[:at] + random.choice((bytes(n), b"\xff" * n, random.randbytes(n))) + data[at + n :]
    )


def _remove(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + data[at + random.choice((1, 4, 64, 2_000)) :]


def _repeat(data: bytes, random: Random) -> bytes:
    at, n = random.randrange(len(data) + 1), random.choice((2, 12, 100, 2_000))
    return data[:at] + data[at : at + n] * random.choice((2, 50, 3_000)) + data[at + n :]


def _splice(data: bytes, random: Random) -> bytes:
    other = random.choice(sorted(whole_files().items()))[1]
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _lie(data: bytes, random: Random) -> bytes:
    """Says other sides: at the places where formats have them, in their ways."""
    width, height = random.choice(_SIDES), random.choice(_SIDES)
    lying = bytearray(data)
    for mark, skip, code in (
        (b"IHDR", 0, ">I"),
        (b"ispe", 4, ">I"),
        (b"\xff\xc0", 3, ">H"),
        (b"\xff\xc2", 3, ">H"),
        (b"BM", 16, "<i"),
        (b"GIF89a", 0, "<H"),
        (b"GIF87a", 0, "<H"),
        (b"VP8 ", 10, "<H"),
        (b"VP8X", 8, "<3"),
        (b"ANMF", 10, "<3"),
        (b"8BPS", 10, ">I"),
    ):
        at = data.find(mark)
        if at >= 0 and random.random() < 0.9:
            n = {"I": 4, "i": 4, "H": 2, "3": 3}[code[1]]
            order = "little" if code[0] == "<" else "big"
            for place, side in enumerate((width, height)):
                start = at + len(mark) + skip + n * place
                lying[start : start + n] = (side & (1 << 8 * n) - 1).to_bytes(n, order)
    at = data.find(b"VP8L")
    if 0 <= at < len(data) - 12:
        sides = (width - 1 & 0x3FFF) | (height - 1 & 0x3FFF) << 14
        lying[at + 9 : at + 13] = (sides | lying[at + 12] >> 4 << 28 & 0xFFFFFFFF).to_bytes(4, "little")
    return _with_checksums(bytes(lying))


def _lie_in_tiff(data: bytes, random: Random) -> bytes:
    """Changes a tag of the first directory: its number, type, count or value."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return _lie(data, random)
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    n_tags = int.from_bytes(data[start : start + 2], "little" if order == "<" else "big")
    at = start + 2 + 12 * random.randrange(n_tags + 1)
    field, size = random.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 4), (8, 4)))
    value = random.choice((*_SIDES, random.randrange(1 << 32), random.randrange(16)))
    written = (value & (1 << 8 * size) - 1).to_bytes(size, "little" if order == "<" else "big")
    return data[: at + field] + written + data[at + field + size :]


def _hold(data: bytes, random: Random) -> bytes:
    """Adds EXIF with odd tags, or none that is EXIF at all."""
    tags = [
        Tag(
            random.choice((0x0112, 0x011A, 0x8769, 0xA002, 700)), random.randrange(14), random.randrange(4), n
        )
        for n in (random.randrange(10), random.randrange(1 << 16))
    ]
    body = random.choice((exif(*tags), exif(*tags, order=">"), random.randbytes(40), exif(*tags)[:20]))
    if data[:2] == b"\xff\xd8":
        return data[:2] + app1(body) + data[2:]
    if data[:4] == b"\x89PNG":
        return data[:33] + chunk(b"eXIf", body) + data[33:]
    return random.choice((jpeg(app1(body)), png(chunk(b"eXIf", body), before=b"IEND")))


def _with_checksums(data: bytes) -> bytes:
    """A PNG's chunks with the checksums that fit them, so that its decoder goes on."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at:end] + struct.pack(">I", zlib.crc32(data[at + 4 : end])))
        at = end + 4
    return b"".join(parts) + data[at:]


_WAYS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _cut,
    _flip,
    _flip,
    _hold,
    _lie,
    _lie_in_tiff,
    _overwrite,
    _remove,
    _repeat,
    _splice,
)


def read_broken(
    seed: int, numbers: Sequence[int], *, n_workers: int = 2
) -> Iterator[tuple[int, str, Outcome]]:
    """The outcomes of reading broken files, in no order."""

    def share(numbers: Sequence[int]) -> list[tuple[int, str, Outcome]]:
        with reader() as read:
            found = []
            for number in numbers:
                name, data = broken_file(seed, number)
                found.append((number, name, read(data)))
            return found

    with ThreadPoolExecutor(n_workers) as pool:
        for outcomes in pool.map(share, pages(numbers, _PER_PROCESS)):
            yield from outcomes


def main() -> None:
    """Prints a line for each file that broke something, and one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("n", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    numbers = range(options.n) if options.only is None else [options.only]
    if options.only is not None:
        Path(f"broken-{options.seed}-{options.only}").write_bytes(broken_file(options.seed, options.only)[1])
    counts: Counter[str] = Counter()
    slowest, largest = 0.0, 0.0
    for number, name, outcome in read_broken(options.seed, numbers):
        counts[outcome.kind] += 1
        slowest, largest = max(slowest, outcome.cpu_s), max(largest, outcome.peak_mb)
        if outcome.faults or options.only is not None:
            print(f"{number} ({name}): {outcome}", flush=True)
        counts.update(outcome.faults)
    print(json.dumps({**counts, "slowest_cpu_s": round(slowest, 2), "peak_mb": round(largest)}))


if __name__ == "__main__":
    main()
