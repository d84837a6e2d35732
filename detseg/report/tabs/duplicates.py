"""The section on near duplicates: the largest clusters, with the pictures of their images side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from PIL import Image

from detseg.errors import ImageError
from detseg.plurals import format_count
from detseg.report.data import Alike
from detseg.report.encoding import data_uri, jpeg_bytes
from detseg.report.gallery import image_name
from detseg.report.views import Block, Chart, Section
from detseg.types import DecodedImage, ImageRef

MOST_CLUSTERS, MOST_IMAGES = 12, 6
_SIDE_PX, _GAP_PX, _QUALITY = 120, 6, 60

Read = Callable[[str], DecodedImage]


def duplicate_sections(alike: Alike, read: Read) -> tuple[Section, ...]:
    """The section, if there are near duplicates. ``read`` raises ImageError."""
    if not alike.n_clusters:
        return ()
    charts = tuple(_cluster(cluster, read) for cluster in alike.largest[:MOST_CLUSTERS])
    clusters = format_count(alike.n_clusters, "cluster")
    note = (
        f"{format_count(alike.n_images, 'image')} of the project in {clusters}: the same picture in another "
        "size, compression or brightness, or without a margin. The largest clusters are shown."
    )
    return (Section("label-duplicates", "Near duplicates", (Block(charts=charts),), note),)


def _cluster(cluster: Sequence[ImageRef], read: Read) -> Chart:
    shown = cluster[:MOST_IMAGES]
    names = ", ".join(image_name(ref.uri) for ref in shown)
    left = len(cluster) - len(shown)
    caption = f"{names}, and {left:,} more" if left else names
    return Chart(format_count(len(cluster), "image"), _pictures(shown, read), caption)


def _pictures(refs: Sequence[ImageRef], read: Read) -> str:
    """The pictures in a row, as SVG; in the place of one that cannot be read is its name alone."""
    width = len(refs) * (_SIDE_PX + _GAP_PX) - _GAP_PX
    root = ElementTree.Element(
        "svg",
        {
            "class": "plot",
            "viewBox": f"0 0 {width} {_SIDE_PX}",
            "width": str(width),
            "height": str(_SIDE_PX),
            "role": "img",
            "aria-label": f"Near duplicates: {', '.join(image_name(ref.uri) for ref in refs)}",
        },
    )
    for n, ref in enumerate(refs):
        x = n * (_SIDE_PX + _GAP_PX)
        try:
            picture = Image.fromarray(read(ref.uri).rgb)
        except ImageError:
            ElementTree.SubElement(root, "text", {"x": str(x), "y": str(_SIDE_PX // 2)}).text = "gone"
            continue
        picture.thumbnail((_SIDE_PX, _SIDE_PX))
        place = {"x": str(x), "y": "0", "width": str(picture.width), "height": str(picture.height)}
        href = data_uri(jpeg_bytes(picture, quality=_QUALITY))
        shown = ElementTree.SubElement(root, "image", {**place, "href": href})
        ElementTree.SubElement(shown, "title").text = image_name(ref.uri)
    return ElementTree.tostring(root, encoding="unicode")
