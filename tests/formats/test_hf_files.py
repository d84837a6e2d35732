"""Hugging Face datasets as others make them, whole and broken."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detseg.errors import FormatError, ImageError
from detseg.formats.hf_files import read_image_folder, read_parquet
from detseg.types import Box

SMALL = {"size": [9, 9], "counts": [81]}
SQUARE = {"size": [20, 40], "counts": [0, 800]}


def encoded(width: int = 40, height: int = 20) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height)).save(written, "JPEG")
    return written.getvalue()


def write_with_datasets(path: Path, rows: list[dict[str, Any]]) -> None:
    """A file as ``datasets`` itself writes it, classes by number and names in its features."""
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "objects": datasets.List(
                {
                    "bbox": datasets.List(datasets.Value("float32"), length=4),
                    "category": datasets.ClassLabel(names=["bolt", "nut"]),
                }
            ),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(rows, features=features).to_parquet(path)


def test_what_datasets_itself_writes(tmp_path: Path) -> None:
    objects = [
        {"bbox": [1.0, 2.0, 10.0, 5.0], "category": 1},
        {"bbox": [30.0, 0.0, 20.0, 20.0], "category": 0},
    ]
    rows = [
        {"image": {"bytes": encoded(), "path": None}, "objects": objects},
        {"image": {"bytes": encoded(30, 10), "path": "b.jpg"}, "objects": []},
        {"image": {"bytes": encoded(), "path": None}, "objects": None},
    ]
    write_with_datasets(tmp_path / "data" / "validation-00000-of-00001.parquet", rows)
    opened = read_parquet(tmp_path)
    assert [(cls.name, cls.kind) for cls in opened.classes] == [("bolt", "thing"), ("nut", "thing")]
    first, second = opened.images()
    assert first.name == "validation-00000-of-00001-0.jpeg"
    assert (second.name, second.instances, second.split) == ("b.jpg", (), "val")
    assert [(one.label, one.box) for one in first.instances] == [
        ("nut", Box(1, 2, 11, 7)),
        ("bolt", Box(30, 0, 40, 20)),
    ]
    assert (str(first.size), str(second.size)) == ("40x20", "30x10")
    assert opened.left_out == {"images without objects": 1, "parts of boxes outside of the image": 1}
    assert opened.read is not None
    assert [opened.read(one) for one in (first, second)] == [encoded(), encoded(30, 10)]


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({"bbox": [[0, 0, 9, 9]], "category": ["a", "b"]}, "the lists in objects are not of one length"),
        ({"bbox": [[0, 0, -9, 9]], "category": ["a"]}, "a bbox has no negative width or height"),
        ({"bbox": [[0, 0, 9]], "category": ["a"]}, "expected bbox"),
        ({"bbox": [[0, 0, 9, 9]]}, "expected a name or a number as category, not None"),
        ({"bbox": [[0, 0, 9, 9]], "category": [-1]}, "expected a name or a number as category, not -1"),
        (
            [{"bbox": [0, 0, 9, 9], "category": "a", "segmentation": {"size": [9, 9], "counts": "0"}}],
            "the mask is",
        ),
        ("bolt", "expected objects with bbox and category, not 'bolt'"),
    ],
)
def test_objects_that_are_wrong_are_named(objects: Any, said: str, tmp_path: Path) -> None:
    line = {"file_name": "a.jpg", "width": 40, "height": 20}
    text = "".join(json.dumps({**line, "objects": one}) + "\n" for one in ([], objects))
    (tmp_path / "metadata.jsonl").write_text(text)
    with pytest.raises(FormatError, match=rf"metadata\.jsonl, line 2: {said}"):
        list(read_image_folder(tmp_path).images())


def test_image_folders_of_others(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.jpg").write_bytes(encoded())
    objects = {"bbox": [[0, 0, 9, 9], [50, 0, 9, 9]], "category": [7, 7], "segmentation": [SQUARE, None]}
    lines = [{"file_name": "a.jpg", "objects": objects}, {"file_name": "gone.jpg", "width": 3, "height": 4}]
    (tmp_path / "train" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    opened = read_image_folder(tmp_path)
    (image,) = opened.images()
    assert [cls.name for cls in opened.classes] == ["7"]
    assert (image.name, image.split, str(image.size)) == ("a.jpg", "train", "40x20")
    assert Path(image.uri).samefile(tmp_path / "train" / "a.jpg")
    assert image.instances[0].mask is not None
    assert image.instances[0].mask.area == 800
    assert opened.left_out == {"images without objects": 1, "regions without area": 1}


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("detseg_classes:", r"README\.md: expected names and kinds under detseg_classes"),
        ("a: &a [x, x]\ndetseg_classes: [{name: *a, kind: thing}]", "a name is text"),
        ("detseg_classes: " + "[" * 5000, r"README\.md is not YAML that is read: .* nest too deeply"),
    ],
)
def test_cards_that_are_wrong(head: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{head}\n---\n")
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(FormatError, match=said):
        read_image_folder(tmp_path)


def test_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is no Hugging Face dataset: expected data/train"):
        read_parquet(tmp_path)
    with pytest.raises(FormatError, match="is no Hugging Face dataset: expected train/metadata"):
        read_image_folder(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(FormatError, match=r"a\.parquet cannot be read as Parquet"):
        read_parquet(tmp_path)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.jpg"\n')
    with pytest.raises(FormatError, match=r"metadata\.jsonl, line 1 is not JSON"):
        read_image_folder(tmp_path)
    (tmp_path / "metadata.jsonl").write_text('{"objects": []}\n')
    with pytest.raises(FormatError, match="line 1: expected an object with a file_name"):
        read_image_folder(tmp_path)


def test_tables_of_something_else_and_images_that_are_none(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "train.parquet")
    with pytest.raises(FormatError, match="has the columns label, text: expected image, and objects"):
        read_parquet(tmp_path)
    write_with_datasets(
        tmp_path / "train.parquet", [{"image": {"bytes": b"GIF", "path": "a.gif"}, "objects": []}]
    )
    opened = read_parquet(tmp_path)
    with pytest.raises(FormatError, match="row 0: the image "):
        list(opened.images())


def test_rows_whose_image_has_no_bytes(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    box = pa.struct([("bbox", pa.list_(pa.float64())), ("category", pa.string())])
    rows = [
        {"image": {"bytes": data, "path": f"{n}.jpg"}, "width": 40, "height": 20, "objects": []}
        for n, data in enumerate((encoded(), None))
    ]
    schema = pa.schema(
        [("image", image), ("width", pa.int64()), ("height", pa.int64()), ("objects", pa.list_(box))]
    )
    parquet.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "train.parquet")
    opened = read_parquet(tmp_path / "train.parquet")
    first, second = opened.images()
    assert opened.read is not None
    assert opened.read(first) == encoded()
    with pytest.raises(ImageError, match="has no bytes in its row"):
        opened.read(second)
