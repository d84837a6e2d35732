"""Where versions are kept: shared, immutable, whole or not there, and found out when they rot."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from detseg.catalog.region_json import encode_regions
from detseg.datasets.differences import compare_versions
from detseg.datasets.sample import Sample, decode_sample, image_bytes
from detseg.datasets.store import DatasetStore, find_problems, is_worth_sharing
from detseg.datasets.version import Addition, IndexRow, Recipe, Version
from detseg.errors import DatasetError
from detseg.taxonomy import LabelClass
from detseg.types import Box, Instance, Region, RegionId, Size
from tests.catalog.made import NOON, image_id

RECIPE = Recipe("parts", (LabelClass("bolt"), LabelClass("nut")), {"consensus": False})


def make_sample(number: int, labels: Iterable[str] = ("bolt",), *, x0: float = 1) -> Sample:
    regions = tuple(
        Region(RegionId(f"r{i}"), "person", Instance(label, "thing", Box(x0, 2, 30, 40)))
        for i, label in enumerate(labels)
    )
    return Sample(
        image_id(number),
        Size(64, 48),
        "labeled" if regions else "empty",
        encode_regions(regions),
        "anna",
        uri=f"/photos/{number}.jpg",
        updated_at=NOON,
        authors=("anna",),
        reviews=(number,),
    )


def add(samples: Iterable[Sample], split: str = "") -> Iterator[Addition]:
    return (Addition(sample, image_bytes(sample.image), split) for sample in samples)


def write(store: DatasetStore, name: str, samples: Iterable[Sample], **options: Version) -> Version:
    return store.write(name, RECIPE, add(samples), **options)


def read(store: DatasetStore, version: Version) -> list[Sample]:
    return [decode_sample(row) for row in store.rows(version)]


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> DatasetStore:
    """A folder, and a place that only fsspec knows."""
    return DatasetStore(str(tmp_path / "datasets") if request.param == "folder" else f"memory://{tmp_path}")


def test_what_was_written_is_read(store: DatasetStore) -> None:
    samples = [make_sample(0), make_sample(1, []), make_sample(2, ["nut", "bolt"])]
    version = write(store, "v1", samples)
    assert read(store, version) == samples
    assert read(store, store.version("v1")) == read(store, store.version(version.id[:8])) == samples
    assert [row.labels for row in store.index(version)] == [("bolt",), (), ("bolt", "nut")]
    assert store.versions() == (version,)
    assert (version.counts.images, version.counts.regions) == (3, 3)
    assert version.recipe == RECIPE
    assert list(find_problems(store, version)) == []


def test_splits_are_counted_in_the_order_of_their_use(store: DatasetStore) -> None:
    sides = ("test", "train", "extra", "val")
    store.write("v1", RECIPE, [next(add([make_sample(n)], side)) for n, side in enumerate(sides)])
    counts = store.version("v1").counts
    assert list(counts.splits) == list(counts.regions_by_split) == ["train", "val", "test", "extra"]


def test_rows_of_a_parent_are_shared_and_go_with_the_last_version(store: DatasetStore) -> None:
    first = write(store, "v1", map(make_sample, range(4)))
    kept = [row for row in store.index(first) if row.image != image_bytes(image_id(2))]
    changed = next(add([make_sample(2, ["nut"])], "val"))
    images: list[IndexRow | Addition] = sorted([*kept, changed], key=lambda one: image_of(one))
    second = store.write("v2", RECIPE, images, parent=first)
    assert [sample.regions == make_sample(0).regions for sample in read(store, second)] == [
        True,
        True,
        False,
        True,
    ]
    assert second.packs.items() > first.packs.items()
    assert second.counts.splits == {"val": 1}
    store.remove("v1")
    assert read(store, second)[3] == make_sample(3)
    assert list(find_problems(store, second)) == []
    store.remove("v2")
    assert store.versions() == ()
    with pytest.raises(DatasetError, match="there is none yet"):
        store.version("v2")


def image_of(one: IndexRow | Addition) -> bytes:
    return one.image if isinstance(one, IndexRow) else image_bytes(one.sample.image)


def test_nothing_is_seen_of_a_version_that_was_not_finished(store: DatasetStore) -> None:
    first = write(store, "v1", map(make_sample, range(3)))

    def broken() -> Iterator[Sample]:
        yield make_sample(0, ["nut"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(store, "v2", broken())
    assert store.versions() == (first,)
    second = write(store, "v2", [make_sample(0, ["nut"])])
    assert read(store, second) == [make_sample(0, ["nut"])]
    if "://" not in store.location:
        assert not list(Path(store.location).rglob("*partial*"))


def test_of_two_that_want_one_name_one_gets_it(tmp_path: Path) -> None:
    store = DatasetStore(str(tmp_path / "datasets"))
    outcomes: list[object] = []

    def make(number: int) -> None:
        try:
            outcomes.append(write(store, "v1", [make_sample(number)]))
        except DatasetError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, Version) for one in outcomes) == 1
    (version,) = store.versions()
    assert len(read(store, version)) == 1


def test_many_small_files_are_written_as_one_again(tmp_path: Path) -> None:
    store = DatasetStore(str(tmp_path / "datasets"))
    version = write(store, "v0", [make_sample(0)])
    for number in range(1, 40):
        rows = store.index(version)
        added = add([make_sample(number)])
        shared = is_worth_sharing(version)
        images = [*rows, *added] if shared else list(add(map(make_sample, range(number + 1))))
        version = store.write(f"v{number}", RECIPE, images, parent=version if shared else None)
        assert len(read(store, version)) == number + 1
        if not shared:
            break
    assert len(version.packs) == 1


@pytest.mark.parametrize(
    "what", ["pack changed", "pack gone", "index cut", "name broken", "index of another"]
)
def test_what_rots_is_found(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "datasets"
    store = DatasetStore(str(folder))
    version = write(store, "v1", map(make_sample, range(50)))
    (pack,), (index,), (name,) = ((folder / part).glob("*.*") for part in ("packs", "versions", "names"))
    if what == "pack changed":
        data = bytearray(pack.read_bytes())
        data[len(data) // 3] ^= 1
        pack.write_bytes(bytes(data))
    elif what == "pack gone":
        pack.unlink()
    elif what == "index cut":
        index.write_bytes(index.read_bytes()[:-20])
    elif what == "name broken":
        name.write_text("{")
        with pytest.raises(
            DatasetError, match=r"'v1' .* cannot be read .*: restore it from a copy, or remove it"
        ):
            store.version("v1")
        return
    else:
        other = write(store, "v2", map(make_sample, range(3)))
        index.write_bytes((folder / "versions" / f"{other.id}.parquet").read_bytes())
    problems = list(find_problems(store, version))
    assert problems
    assert all("\n" not in problem for problem in problems)


def tamper(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a file of Parquet anew, as a program that knows what is in it can."""
    parquet.write_table(change(parquet.ParquetFile(path).read()), path)


def with_column(name: str, value: object) -> Callable[[pa.Table], pa.Table]:
    """Put one value into all rows of a column."""

    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        column = pa.array(
            [value] * len(table), None if isinstance(value, bool) else table.schema.field(place).type
        )
        return table.set_column(place, name, column)

    return change


@pytest.mark.parametrize(
    "change",
    [
        with_column("regions", "[" * 100_000),
        with_column("regions", "[]"),
        with_column("width", -1),
        with_column("state", "wild"),
        with_column("author", "eve"),
        with_column("image", b"\0" * 32),
        with_column("uri", True),
        lambda table: table.drop_columns(["image"]),
    ],
)
def test_nothing_is_read_of_a_pack_that_was_tampered_with(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    store = DatasetStore(str(tmp_path))
    version = write(store, "v1", [make_sample(1)])
    (pack,) = tmp_path.glob("packs/*")
    tamper(pack, change)
    with pytest.raises(DatasetError, match="restore the"):
        list(store.rows(version))


@pytest.mark.parametrize(
    "change",
    [
        with_column("state", "empty"),
        with_column("label_lines", "nut\nnut"),
        with_column("author_lines", "eve"),
        with_column("updated_us", 2**62),
        with_column("metadata", "{}"),
        with_column("label_lines", True),
        lambda table: pa.concat_tables([table, table]),
    ],
)
def test_an_index_that_says_something_else_than_the_rows_is_found(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    store = DatasetStore(str(tmp_path))
    version = write(store, "v1", [make_sample(1)])
    assert not list(find_problems(store, version))
    (index,) = tmp_path.glob("versions/*")
    tamper(index, change)
    assert list(find_problems(store, version))


CLASS = {"name": "bolt", "kind": "thing", "colour": "#888888", "aliases": []}
HEADERS: tuple[Mapping[str, object], ...] = (
    {"counts": {"images": "many"}},
    {"counts": {"images": float("nan")}},
    {"counts": {"images": True}},
    {"counts": {"states": [1]}},
    {"counts": {"splits": {"train": 1}}},
    {"counts": {"left_out": {"skipped": "some"}}},
    {"counts": {"regions_by_split": {"": 3}}},
    {"packs": ["a"]},
    {"parent": [1]},
    {"recipe": {"project": 7}},
    {"recipe": {"where": {}}},
    {"recipe": {"rules": []}},
    {"recipe": {"split": [1]}},
    {"recipe": {"classes": "bolt"}},
    {"recipe": {"classes": [{**CLASS, "kind": "gas"}]}},
    {"recipe": {"classes": [{**CLASS, "name": 7}]}},
    {"recipe": {"classes": [{**CLASS, "colour": 'red"><script>'}]}},
)


@pytest.mark.parametrize("change", HEADERS)
def test_a_header_that_was_tampered_with_is_said_in_a_line(
    tmp_path: Path, change: Mapping[str, Mapping[str, object]]
) -> None:
    store = DatasetStore(str(tmp_path))
    write(store, "v1", [make_sample(1)])
    (index,) = tmp_path.glob("versions/*")
    table = parquet.ParquetFile(index).read()
    header = json.loads(table.schema.metadata[b"detseg"])
    for name, value in change.items():
        header[name] = {**header[name], **value} if isinstance(value, dict) and name != "packs" else value
    parquet.write_table(table.replace_schema_metadata({b"detseg": json.dumps(header).encode()}), index)
    with pytest.raises(
        DatasetError, match=r"^the dataset version 'v1' in .* cannot be read \(.+\): restore it"
    ):
        store.version("v1")


def test_a_place_that_cannot_be_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"dataset versions in .*file cannot be written"):
        write(DatasetStore(str(tmp_path / "file")), "v1", [make_sample(0)])
    with pytest.raises(DatasetError, match="cannot be opened"):
        DatasetStore("nowhere://bucket")


@settings(max_examples=30, deadline=None)
@given(
    before=st.dictionaries(st.integers(0, 6), st.lists(st.sampled_from(("bolt", "nut")), max_size=3)),
    after=st.dictionaries(st.integers(0, 6), st.lists(st.sampled_from(("bolt", "nut")), max_size=3)),
)
def test_differences_are_those_of_the_sets(
    before: dict[int, list[str]], after: dict[int, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The oracle compares dictionaries: image by image, region by region."""
    store = DatasetStore(str(tmp_path_factory.mktemp("datasets")))
    sides = [{n: make_sample(n, labels) for n, labels in sorted(side.items())} for side in (before, after)]
    first, second = (write(store, f"v{i}", side.values()) for i, side in enumerate(sides))
    found = compare_versions(store, first, second)
    wanted = {
        "added": after.keys() - before.keys(),
        "removed": before.keys() - after.keys(),
        "changed": {n for n in before.keys() & after.keys() if before[n] != after[n]},
    }
    for change, numbers in wanted.items():
        assert {one.image for one in found.images if one.change == change} == set(map(image_id, numbers))
    old = {(n, i): label for n, labels in before.items() for i, label in enumerate(labels)}
    new = {(n, i): label for n, labels in after.items() for i, label in enumerate(labels)}
    assert found.regions == {
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "changed": sum(old[one] != new[one] for one in old.keys() & new.keys()),
    }


def test_a_move_to_another_side_is_no_change_of_the_image(store: DatasetStore) -> None:
    first = store.write("v1", RECIPE, add(map(make_sample, range(3)), "train"))
    moved = [replace(row, split="val") for row in store.index(first)]
    found = compare_versions(store, first, store.write("v2", RECIPE, moved, parent=first))
    assert (found.images, found.splits) == ((), {"train > val": 3})
