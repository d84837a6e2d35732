"""The section on near duplicates: pictures in the page itself, and names where a picture is gone."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from detseg.errors import ImageError
from detseg.report.data import Alike
from detseg.report.tabs.duplicates import MOST_IMAGES, duplicate_sections
from detseg.types import DecodedImage, ImageRef, Size
from tests.catalog.made import image_id


def read(uri: str) -> DecodedImage:
    if "gone" in uri:
        raise ImageError("is gone")
    return DecodedImage(ImageRef(image_id(0), uri), Size(300, 100), np.zeros((100, 300, 3), np.uint8))


def test_clusters_are_shown_side_by_side() -> None:
    many = tuple(ImageRef(image_id(n), f"/photos/many {n}.jpg") for n in range(9))
    two = (ImageRef(image_id(10), "/photos/<two>.jpg"), ImageRef(image_id(11), "/photos/gone.jpg"))
    (section,) = duplicate_sections(Alike(7, 40, (many, two)), read)
    first, second = section.blocks[0].charts
    assert (first.title, second.title) == ("9 images", "2 images")
    assert first.caption.endswith(f", and {9 - MOST_IMAGES} more")
    pictures = [one for one in ElementTree.fromstring(first.svg) if one.tag == "image"]
    assert len(pictures) == MOST_IMAGES
    assert all(one.attrib["href"].startswith("data:image/") for one in pictures)
    assert [one.tag for one in ElementTree.fromstring(second.svg)] == ["image", "text"]
    assert "40 images" in section.note
    assert "7 clusters" in section.note


def test_there_is_no_section_without_duplicates() -> None:
    assert duplicate_sections(Alike(), read) == ()
