"""Files that say how they are held in every way that was seen, for Chromium and for us to read."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from PIL import Image

from tests.images.made import (
    LONG,
    SHORT,
    XMP,
    Tag,
    app1,
    avif,
    chunk,
    directory,
    encoded,
    exif,
    jpeg,
    orientation_tag,
    oriented,
    png,
    pointing_exif,
    quadrants,
    raw_profile,
    riff,
    segment,
    sized_exif,
    text_chunk,
)

_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
_MAKER = Tag(0x010F, SHORT, 1, 0)
_LOSSLESS = {"lossless": True}


def oriented_files() -> Mapping[str, bytes]:
    """Files by what is special about them; the name begins with the type that a server would say."""
    return {**_jpegs(), **_jpegs_with_odd_exif(), **_pngs(), **_others()}


def resized_files() -> Mapping[str, bytes]:
    """Files of 64x32 pixels that browsers show at another size, or a part of."""
    aperture = b"clap" + struct.pack(">IIIIiIiI", 32, 1, 16, 1, -16, 1, -8, 1)
    return {
        "jpeg at twice 72 dpi": jpeg(app1(sized_exif((32, 16), 144))),
        "jpeg at twice 72 dpi, turned": jpeg(app1(sized_exif((32, 16), 144, 6))),
        "jpeg at half of 72 dpi": jpeg(app1(sized_exif((128, 64), 36))),
        "jpeg at 150 dpi, rounded": jpeg(app1(sized_exif((31, 15), 150))),
        "avif with a clean aperture": avif(aperture),
    }


def _jpegs() -> dict[str, bytes]:
    plain = jpeg()
    turned, mirrored = app1(oriented(6)), app1(oriented(3))
    xmp = {n: app1(XMP.format(n).encode(), b"http://ns.adobe.com/xap/1.0/\0") for n in (1, 6)}
    return {
        **{f"jpeg, {n}": jpeg(app1(oriented(n))) for n in range(10)},
        "jpeg, big-endian": jpeg(app1(oriented(6, ">"))),
        "jpeg, progressive": jpeg(turned, progressive=True),
        "jpeg, grey": jpeg(turned, image=quadrants().convert("L")),
        **{f"jpeg, before {where}": jpeg(turned, before=where) for where in ("DQT", "SOS", "EOI", "nothing")},
        "jpeg, XMP": jpeg(xmp[6]),
        "jpeg, XMP says 6, EXIF 1": jpeg(xmp[6], app1(oriented(1))),
        "jpeg, EXIF says 6, XMP 1": jpeg(turned, xmp[1]),
        "jpeg, 6 then 3": jpeg(turned, mirrored),
        "jpeg, 3 then 6": jpeg(mirrored, turned),
        "jpeg, EXIF without orientation first": jpeg(app1(exif(_MAKER)), turned),
        "jpeg, broken EXIF first": jpeg(app1(b"II*"), turned),
        "jpeg, empty EXIF first": jpeg(app1(b""), turned),
        "jpeg, in APP2": jpeg(segment(0xE2, b"Exif\0\0" + oriented(6))),
        "jpeg, EXIF in a comment": jpeg(segment(0xFE, turned)),
        "jpeg, capitals": jpeg(app1(oriented(6), b"EXIF\0\0")),
        "jpeg, another padding": jpeg(app1(oriented(6), b"Exif\0x")),
        "jpeg, junk before": plain[:20] + b"junk" + turned + plain[20:],
        "jpeg, fill bytes before": plain[:20] + b"\xff" * 5 + turned + plain[20:],
        "jpeg, a segment without length before": plain[:20] + b"\xff\xe1\0\0" + turned + plain[20:],
        "jpeg, several views": encoded(
            quadrants(), "MPO", save_all=True, append_images=[quadrants()], exif=oriented(6), quality=95
        ),
    }


def _jpegs_with_odd_exif() -> dict[str, bytes]:
    six, three = orientation_tag(6), orientation_tag(3)
    whole = oriented(6)
    structures = {
        **{f"type {kind}": exif(orientation_tag(6, kind)) for kind in (1, LONG, 7, 8, 9, 13)},
        "big-endian LONG": exif(orientation_tag(6, LONG), order=">"),
        **{f"{count} values": exif(orientation_tag(6, SHORT, count)) for count in (0, 2, 3)},
        "9 then 6": exif(orientation_tag(9), six),
        "LONG then SHORT": exif(orientation_tag(3, LONG), six),
        "two tags": exif(six, three),
        "out of order": exif(Tag(0x0213, SHORT, 1, 1), six, _MAKER),
        "in the EXIF directory": pointing_exif([], _EXIF_DIRECTORY, [six]),
        "in the GPS directory": pointing_exif([], _GPS_DIRECTORY, [six]),
        "in both directories": pointing_exif([six], _EXIF_DIRECTORY, [three]),
        "in both directories, EXIF's first": pointing_exif([six], _EXIF_DIRECTORY, [three], first=True),
        "in the thumbnail's": b"II*\0\x08\0\0\0" + directory([_MAKER], following=26) + directory([six]),
        "cut in the tag": whole[:21],
        "cut after the tag": whole[:22],
        "more tags than there are": whole[:8] + struct.pack("<H", 500) + whole[10:],
        "far into it": exif(six, start=8_000),
        "no byte order": b"IJ" + whole[2:],
    }
    return {f"jpeg, EXIF {name}": jpeg(app1(structure)) for name, structure in structures.items()}


def _pngs() -> dict[str, bytes]:
    turned, mirrored = chunk(b"eXIf", oriented(6)), chunk(b"eXIf", oriented(3))
    return {
        **{f"png, {n}": png(chunk(b"eXIf", oriented(n))) for n in range(10)},
        "png, big-endian": png(chunk(b"eXIf", oriented(6, ">"))),
        "png, behind the pixels": png(turned, before=b"IEND"),
        "png, with EXIF's mark": png(chunk(b"eXIf", b"Exif\0\0" + oriented(6))),
        "png, LONG": png(chunk(b"eXIf", exif(orientation_tag(6, LONG)))),
        "png, two values": png(chunk(b"eXIf", exif(orientation_tag(6, SHORT, 2)))),
        "png, 6 then 3": png(turned, mirrored),
        "png, empty then 6": png(chunk(b"eXIf", b""), turned),
        "png, none then 6": png(chunk(b"eXIf", exif(_MAKER)), turned),
        "png, in the EXIF directory": png(
            chunk(b"eXIf", pointing_exif([], _EXIF_DIRECTORY, [orientation_tag(6)]))
        ),
        "png, at twice 72 dpi": png(chunk(b"eXIf", sized_exif((32, 16), 144))),
        "png, XMP": png(text_chunk(b"XML:com.adobe.xmp", XMP.format(6).encode())),
        "png, raw profile": png(raw_profile(b"Exif\0\0" + oriented(6))),
        "png, unpacked raw profile": png(raw_profile(b"Exif\0\0" + oriented(6), packed=False)),
        "png, raw profile APP1": png(raw_profile(b"Exif\0\0" + oriented(6), b"APP1")),
        "png, palette": png(turned, image=quadrants().convert("P", palette=Image.Palette.ADAPTIVE)),
    }


def _others() -> dict[str, bytes]:
    plain = {"subsampling": "4:4:4", "quality": 100}
    bmp, webp = bytearray(encoded(quadrants(), "BMP")), encoded(quadrants(), "WEBP", **_LOSSLESS)
    bmp[22:26] = struct.pack("<i", -32)  # its rows from the top down
    canvas = struct.pack("<I", 63)[:3] + struct.pack("<I", 31)[:3]
    return {
        **{f"webp, {n}": encoded(quadrants(), "WEBP", exif=oriented(n), **_LOSSLESS) for n in (1, 3, 6, 8)},
        "webp, lossy": encoded(quadrants(), "WEBP", exif=oriented(6), quality=95),
        "webp, XMP": encoded(quadrants(), "WEBP", xmp=XMP.format(6).encode(), **_LOSSLESS),
        "webp, EXIF with JPEG's mark": riff(
            (b"VP8X", b"\x08\0\0\0" + canvas), (b"VP8L", webp[20:]), (b"EXIF", b"Exif\0\0" + oriented(6))
        ),
        **{f"avif, {n}": encoded(quadrants(), "AVIF", exif=oriented(n), **plain) for n in range(1, 9)},
        "avif, XMP": encoded(quadrants(), "AVIF", xmp=XMP.format(6).encode(), **plain),
        "avif, turned, then mirrored": avif(b"irot\x01", b"imir\0"),
        "avif, mirrored, then turned": avif(b"imir\0", b"irot\x01"),
        "avif, other pixels than square": avif(b"pasp" + struct.pack(">II", 1, 2)),
        "gif": encoded(quadrants(), "GIF"),
        "gif, XMP": encoded(quadrants(), "GIF", xmp=XMP.format(6).encode()),
        "bmp": encoded(quadrants(), "BMP"),
        "bmp, from the top down": bytes(bmp),
    }
