"""Image files put together piece by piece: what no program writes, and some of what many do."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
SHORT, LONG = 3, 4
_BYTES = {1: 1, 2: 1, SHORT: 2, LONG: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4}  # of a value, by its type

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{}"/></rdf:RDF>'
    "</x:xmpmeta>"
)


def quadrants(width: int = 64, height: int = 32) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right."""
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    """The bytes that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


@dataclass(frozen=True)
class Tag:
    """An entry of a directory; ``value`` is the four bytes that stand there, in the directory's order."""

    number: int
    kind: int
    count: int
    value: int


def orientation_tag(value: int, kind: int = SHORT, count: int = 1) -> Tag:
    """The tag with so many values, if they fit."""
    return Tag(ORIENTATION, kind, count, value)


def directory(tags: Sequence[Tag], order: str = "<", following: int = 0) -> bytes:
    """An image file directory."""
    entries = []
    for tag in tags:
        n = _BYTES.get(tag.kind, 4)
        value = (tag.value & (1 << 8 * n) - 1).to_bytes(n, "little" if order == "<" else "big")
        values = value * min(tag.count, 4 // n)
        entries.append(struct.pack(f"{order}HHI", tag.number, tag.kind, tag.count) + values.ljust(4, b"\0"))
    return struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", following)


def exif(*tags: Tag, order: str = "<", start: int = 8) -> bytes:
    """A TIFF structure with one directory, ``start`` bytes from its beginning."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", start) + bytes(start - 8) + directory(tags, order)


def oriented(value: int, order: str = "<") -> bytes:
    """The EXIF that cameras write."""
    return exif(orientation_tag(value), order=order)


def pointing_exif(tags: Sequence[Tag], pointer: int, pointed: Sequence[Tag], *, first: bool = False) -> bytes:
    """EXIF with a second directory: the pointer to it stands before or after the other tags."""
    at = 8 + 2 + 12 * (len(tags) + 1) + 4
    link = Tag(pointer, LONG, 1, at)
    return exif(*([link, *tags] if first else [*tags, link])) + directory(pointed)


def sized_exif(shown: tuple[int, int], dpi: int, orientation: int = 1) -> bytes:
    """EXIF that says at which size and resolution an image is shown."""
    at = 8 + 2 + 12 * 6 + 4
    tags = (
        orientation_tag(orientation),
        Tag(0x011A, 5, 1, at),
        Tag(0x011B, 5, 1, at),
        Tag(0x0128, SHORT, 1, 2),
        Tag(0xA002, LONG, 1, shown[0]),
        Tag(0xA003, LONG, 1, shown[1]),
    )
    return exif(*tags) + struct.pack("<II", dpi, 1)


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def app1(body: bytes, head: bytes = b"Exif\0\0") -> bytes:
    """The segment that EXIF stands in."""
    return segment(0xE1, head + body)


def jpeg(
    *segments: bytes, before: str = "JFIF", image: Image.Image | None = None, **options: object
) -> bytes:
    """A JPEG with more segments before its JFIF, its tables (DQT), its scan (SOS), its end, or after it."""
    data = encoded(image or quadrants(), "JPEG", **({"quality": 95, "subsampling": 0} | options))
    at = {
        "JFIF": 2,
        "DQT": data.index(b"\xff\xdb"),
        "SOS": data.index(b"\xff\xda"),
        "EOI": len(data) - 2,
        "nothing": len(data),
    }[before]
    return data[:at] + b"".join(segments) + data[at:]


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes, before: bytes = b"IDAT", image: Image.Image | None = None) -> bytes:
    """A PNG with more chunks before a chunk of its own."""
    data = encoded(image or quadrants())
    at = data.index(before) - 4
    return data[:at] + b"".join(chunks) + data[at:]


def flat_png(width: int, height: int, colour: int = 0, bits: int = 8, *, n_rows: int | None = None) -> bytes:
    """A PNG whose every byte is 0, so that it is small; with that many rows instead of those it speaks of."""
    per_row = 1 + (width * bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] + 7) // 8
    n_bytes = per_row * (height if n_rows is None else n_rows)
    packer, step = zlib.compressobj(), 1 << 20
    packed = b"".join(packer.compress(bytes(min(step, n_bytes - at))) for at in range(0, n_bytes, step))
    chunks = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
        chunk(b"PLTE", bytes(6)) if colour == 3 else b"",
        chunk(b"IDAT", packed + packer.flush()),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def text_chunk(key: bytes, text: bytes) -> bytes:
    """An international text, as XMP is written."""
    return chunk(b"iTXt", key + bytes(5) + text)


def raw_profile(body: bytes, name: bytes = b"exif", *, packed: bool = True) -> bytes:
    """A profile as ImageMagick writes it: in hexadecimal digits, in a text."""
    text = b"\n%s\n%8d\n%s\n" % (name, len(body), body.hex().encode())
    key = b"Raw profile type " + name + b"\0"
    return chunk(b"zTXt", key + b"\0" + zlib.compress(text)) if packed else chunk(b"tEXt", key + text)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for kind, part in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def flat_webp(width: int, height: int) -> bytes:
    """A lossless WebP of one colour, in some 30 bytes."""
    bits, n_bits = 0, 0
    for value, length in ((width - 1, 14), (height - 1, 14), (1, 1), (0, 6), *((1, 4),) * 5):
        bits |= value << n_bits  # size, alpha, no transforms; five codes of one symbol each, 0
        n_bits += length
    return riff((b"VP8L", b"\x2f" + bits.to_bytes(n_bits // 8 + 5, "little")))


def avif(*properties: bytes, image: Image.Image | None = None) -> bytes:
    """An AVIF with more properties of its image, which it has to heed."""
    data = bytearray(encoded(image or quadrants(), "AVIF", quality=100, subsampling="4:4:4"))
    for body in properties:
        _add_property(data, struct.pack(">I", len(body) + 4) + body)
    return bytes(data)


def _add_property(data: bytearray, box: bytes) -> None:
    """Adds a box to ``ipco`` and the first item's association to it; what lies behind moves."""
    at = {name: data.index(name) - 4 for name in (b"meta", b"iloc", b"iprp", b"ipco", b"ipma")}
    length = {name: int.from_bytes(data[place : place + 4], "big") for name, place in at.items()}
    n_added = len(box) + 1
    extent = at[b"iloc"] + length[b"iloc"] - 8  # the only item's place and length
    data[extent : extent + 4] = (int.from_bytes(data[extent : extent + 4], "big") + n_added).to_bytes(
        4, "big"
    )
    for name, grown in ((b"meta", n_added), (b"iprp", n_added), (b"ipco", len(box)), (b"ipma", 1)):
        data[at[name] : at[name] + 4] = (length[name] + grown).to_bytes(4, "big")
    count = at[b"ipma"] + 8 + 4 + 4 + 2
    end = count + 1 + data[count]
    data[count] += 1
    n_properties, place = 0, at[b"ipco"] + 8
    while place < at[b"ipco"] + length[b"ipco"]:
        n_properties += 1
        place += int.from_bytes(data[place : place + 4], "big")
    data[end:end] = bytes((0x80 | n_properties + 1,))
    data[place:place] = box
