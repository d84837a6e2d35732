"""The store of dataset versions: a folder, or any location that fsspec reads.

    packs/<sha256>.parquet       rows of images (``ROW``), sorted by image; versions share them
    versions/<id>.parquet        one version: a row for each image that says in which pack it is (``INDEX``)
    names/<name>.json            which version has that name

A version costs a pack with what is new or changed in it, and its index. Files are written in that order, each
as a whole, and never changed, so whoever is killed in between leaves nothing that anybody sees.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
import secrets
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
from pyarrow import parquet

from detseg.datasets.rows import INDEX, ROW, check_columns, find_runs, index_table, rows_of, values_of
from detseg.datasets.sample import decode_sample, digest_row, encode_sample, image_of
from detseg.datasets.version import (
    Addition,
    Counts,
    IndexRow,
    Recipe,
    Version,
    decode_version,
    encode_version,
    version_id,
)
from detseg.errors import ConfigError, DatasetError, FormatError, short_reason
from detseg.files import parse_json, write_whole
from detseg.locking import file_lock
from detseg.paging import pages
from detseg.sources.objects import foreign_errors

_HEADER = b"detseg"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHORTEST_ID = 6
_ROW_GROUP = 500
_MOST_PACKS = 32
"""From so many files on, a new version writes its rows anew."""


@dataclass
class DatasetStore:
    """The versions at a location, a path or a URL of fsspec's.

    Reading and writing raise DatasetError for what is missing, damaged or cannot be written.
    """

    location: str
    _fs: Any = field(init=False, repr=False)
    _root: str = field(init=False, repr=False)
    _is_local: bool = field(init=False, repr=False)
    _errors: tuple[type[Exception], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            self._errors = (
                OSError,
                OverflowError,
                pa.ArrowException,
                *foreign_errors(self.location.partition("://")[0]),
            )
            # Others write there, too.
            self._fs, self._root = fsspec.core.url_to_fs(self.location, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise DatasetError(f"dataset versions in {self.location} cannot be opened: {error}") from error
        self._is_local = "file" in (self._fs.protocol, *self._fs.protocol)

    def versions(self) -> tuple[Version, ...]:
        """All named versions, the oldest first."""
        with self._explained("listed"):
            paths = (
                self._fs.glob(f"{self._root}/names/*.json") if self._fs.exists(f"{self._root}/names") else []
            )
        found = [self._named(Path(path).stem) for path in sorted(paths)]
        return tuple(sorted(found, key=lambda version: (version.created_at, version.name)))

    def version(self, name: str) -> Version:
        """The version of that name, or whose id begins so (6 characters or more). Raises DatasetError."""
        if _NAME.fullmatch(name) and self._exists("names", f"{name}.json"):
            return self._named(name)
        known = self.versions()
        by_id = [one for one in known if len(name) >= _SHORTEST_ID and one.id.startswith(name)]
        if by_id:
            return by_id[-1]
        there = (
            ", ".join(one.name for one in known[-10:]) or "none yet: make one with `detseg dataset create`"
        )
        raise DatasetError(f"there is no dataset version {name!r} in {self.location}; there is {there}")

    def index(self, version: Version) -> tuple[IndexRow, ...]:
        """The images of a version, sorted by image."""
        return tuple(map(IndexRow, *self.index_columns(version, *INDEX.names)))

    def splits(self, version: Version) -> dict[bytes, str]:
        """The side of each image of a version, in the order of images."""
        return dict(zip(*self.index_columns(version, "image", "split"), strict=True))

    def index_columns(self, version: Version, *names: str) -> tuple[list[Any], ...]:
        """Some columns of a version's index (``INDEX``), sorted by image."""
        path = self._path("versions", f"{version.id}.parquet")
        with self._explained("read"), self._fs.open(path, "rb") as file:
            stored = parquet.ParquetFile(file)
            check_columns(stored.schema_arrow, INDEX, path)
            table = stored.read(list(names))  # read_table imports pandas
        return tuple(values_of(table[name]) for name in names)

    def rows(self, version: Version, images: Collection[bytes] | None = None) -> Iterator[dict[str, Any]]:
        """The rows (``ROW``) of a version, or of some of its images, sorted by image; a few in memory.

        Raises DatasetError for a row that is not what was written.
        """
        wanted: defaultdict[str, dict[bytes, bytes]] = defaultdict(dict)
        chosen = None if images is None else frozenset(images)
        for image, pack, digest in zip(*self.index_columns(version, "image", "pack", "digest"), strict=True):
            if chosen is None or image in chosen:
                wanted[pack][image] = digest
        parts = [self._pack_rows(pack, of_pack) for pack, of_pack in wanted.items()]
        return heapq.merge(*parts, key=itemgetter("image"))

    def check_name(self, name: str) -> None:
        """Raises DatasetError if that is no name, or taken."""
        if not _NAME.fullmatch(name):
            raise DatasetError(
                f"{name!r} is no name of a dataset version: begin with a letter or digit, go on with "
                "letters, digits, dots, dashes and underscores, 100 at most"
            )
        if self._exists("names", f"{name}.json"):
            raise DatasetError(
                f"there is a dataset version {name!r} already, and versions never change: take another name, "
                f"or remove it with `detseg dataset rm {name}`"
            )

    def write(
        self,
        name: str,
        recipe: Recipe,
        images: Iterable[IndexRow | Addition],
        *,
        parent: Version | None = None,
        left_out: Mapping[str, int] | None = None,
        duplicates: Mapping[str, int] | None = None,
        before_name: Callable[[], None] = lambda: None,
    ) -> Version:
        """Make a version of images in ascending order: rows of the parent's index as they are, and new ones.

        ``left_out`` and ``duplicates`` are read when ``images`` has ended. Nothing is seen of the version
        before it is whole; ``before_name`` is called last before that. Raises DatasetError for a name that is
        taken or none, and for a location that cannot be written.
        """
        self.check_name(name)
        with self._alone():
            rows, packs = self._write_pack(images, dict(parent.packs) if parent else {})
            used = {row.pack for row in rows}
            version = Version(
                name=name,
                id=version_id(recipe, rows),
                created_at=datetime.now(UTC),
                recipe=recipe,
                counts=_count(rows, left_out or {}, duplicates or {}),
                parent=parent.id if parent else None,
                packs={pack: n for pack, n in packs.items() if pack in used},
            )
            if not self._exists("versions", f"{version.id}.parquet"):
                self._write_index(version, rows)
            self.check_name(name)
            before_name()
            with self._new_file() as path:
                write_whole(
                    path, json.dumps({"id": version.id, "created_at": version.created_at.isoformat()})
                )
                self._put(path, "names", f"{name}.json")
        return self._named(name)

    def _write_pack(
        self, images: Iterable[IndexRow | Addition], packs: dict[str, int]
    ) -> tuple[list[IndexRow], dict[str, int]]:
        """Write the new rows into a pack, if there are any; the version's rows, and all packs it may name."""
        rows: list[IndexRow] = []
        with self._new_file() as path, self._explained("written"):
            digests: list[bytes] = []
            with parquet.ParquetWriter(path, ROW, compression="zstd") as writer:
                for page in pages(images, _ROW_GROUP):
                    made = [encode_sample(one.sample) for one in page if isinstance(one, Addition)]
                    if made:
                        writer.write_table(pa.Table.from_pylist(made, ROW))
                    digests += (row["digest"] for row in made)
                    rows += (one.row if isinstance(one, Addition) else one for one in page)
            if digests:
                pack = _file_sha256(path)
                self._put(path, "packs", f"{pack}.parquet")
                packs |= {pack: len(digests)}
                new = iter(digests)
                rows = [row if row.pack else replace(row, pack=pack, digest=next(new)) for row in rows]
        return rows, packs

    def _write_index(self, version: Version, rows: Sequence[IndexRow]) -> None:
        table = index_table(rows)
        with self._new_file() as path, self._explained("written"):
            header = json.dumps(encode_version(version)).encode()
            parquet.write_table(table.replace_schema_metadata({_HEADER: header}), path, compression="zstd")
            self._put(path, "versions", f"{version.id}.parquet")

    def remove(self, name: str) -> Version:
        """Forget a name, and what no other version needs. Answers what was removed."""
        with self._alone():
            version = self._named(self.version(name).name)
            with self._explained("removed"):
                self._fs.rm_file(self._path("names", f"{version.name}.json"))
                self._sweep()
        return version

    def file_sha256(self, pack: str) -> str:
        """The SHA-256 of a pack's bytes as they are now."""
        with self._explained("read"), self._fs.open(self._path("packs", f"{pack}.parquet"), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _named(self, name: str) -> Version:
        try:
            with self._explained("read"):
                entry = parse_json(self._fs.cat_file(self._path("names", f"{name}.json")), f"{name}.json")
                with self._fs.open(self._path("versions", f"{entry['id']}.parquet"), "rb") as file:
                    header = parquet.read_schema(file).metadata[_HEADER]
            return decode_version(parse_json(header, "its header"), name, entry)
        except (FormatError, ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"the dataset version {name!r} in {self.location} cannot be read ({error}): restore it "
                "from a copy, or remove it"
            ) from error

    def _pack_rows(self, pack: str, digests: Mapping[bytes, bytes]) -> Iterator[dict[str, Any]]:
        """The rows of some images, which have these digests."""
        path = self._path("packs", f"{pack}.parquet")
        with self._explained("read"), self._fs.open(path, "rb") as file:
            found = 0
            stored = parquet.ParquetFile(file)
            check_columns(stored.schema_arrow, ROW, path)
            for batch in stored.iter_batches(_ROW_GROUP):
                mine = [image in digests for image in batch["image"].to_pylist()]
                for start, end in find_runs(mine):
                    found += end - start
                    for row in rows_of(batch.slice(start, end - start)):
                        if digest_row(row) != digests[row["image"]]:
                            raise DatasetError(
                                f"{path}: {image_of(row['image'])} ({row['uri']}) is not what it was: "
                                "restore the file from a copy"
                            )
                        yield row
        if found != len(digests):
            raise DatasetError(
                f"{self.location}: pack {pack} has {found} of {len(digests)} images that it should have: "
                "restore the folder from a copy"
            )

    def _sweep(self) -> None:
        """Removes indexes and packs that no name leads to."""
        kept = self.versions()
        needed = {"versions": {one.id for one in kept}, "packs": {pack for one in kept for pack in one.packs}}
        for folder, names in needed.items():
            for path in self._fs.glob(f"{self._root}/{folder}/*.parquet"):
                if Path(path).stem not in names:
                    self._fs.rm_file(path)

    def _put(self, source: Path, *parts: str) -> None:
        """Moves a file that is complete to its place in the store."""
        target = self._path(*parts)
        with self._explained("written"):
            if self._is_local:
                source.replace(target)
            else:
                self._fs.put_file(str(source), target)

    @contextmanager
    def _new_file(self) -> Iterator[Path]:
        """A file to be written and then ``put``, on the disk of the store where it has one."""
        with self._explained("written"):
            for name in ("packs", "versions", "names") if self._is_local else ():
                Path(self._root, name).mkdir(parents=True, exist_ok=True)
        folder = self._root if self._is_local else tempfile.gettempdir()
        path = Path(folder, f".detseg-{secrets.token_hex(8)}.partial")
        try:
            yield path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, where the store is a folder."""
        if not self._is_local:
            yield
            return
        with self._explained("written"):
            Path(self._root).mkdir(parents=True, exist_ok=True)
        with file_lock(Path(self._root, "lock"), what=f"the dataset versions in {self.location}"):
            for left in Path(self._root).glob(".detseg-*.partial"):  # of a run that was killed
                left.unlink(missing_ok=True)
            yield

    def _exists(self, *parts: str) -> bool:
        with self._explained("read"):
            return bool(self._fs.exists(self._path(*parts)))

    def _path(self, *parts: str) -> str:
        return "/".join((self._root, *parts))

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turns what file systems and Parquet raise into a DatasetError of one line."""
        try:
            yield
        except self._errors as error:
            if isinstance(error, FileNotFoundError) and what != "written":
                raise DatasetError(
                    f"dataset versions in {self.location}: a file is missing ({error.filename or error}): "
                    "restore the folder from a copy"
                ) from error
            reason = getattr(error, "strerror", None) or short_reason(error)
            raise DatasetError(f"dataset versions in {self.location} cannot be {what}: {reason}") from error


def is_worth_sharing(version: Version) -> bool:
    """Tell whether a new version should share this one's packs, rather than write every row anew.

    Not where they are many files, or hold mostly rows of other versions.
    """
    return len(version.packs) < _MOST_PACKS and 2 * version.counts.images >= sum(version.packs.values())


def _count(rows: Sequence[IndexRow], left_out: Mapping[str, int], duplicates: Mapping[str, int]) -> Counts:
    by_split: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (split, lines), n in Counter((row.split, row.label_lines) for row in rows).items():
        by_split[split].update({label: n * k for label, k in Counter(lines.splitlines()).items()})
    by_class = sum(by_split.values(), Counter[str]())
    splits = Counter(row.split for row in rows if row.split)
    return Counts(
        images=len(rows),
        regions=by_class.total(),
        states=dict(Counter(row.state for row in rows)),
        splits=dict(sorted(splits.items())),
        regions_by_class=dict(sorted(by_class.items())),
        regions_by_split={name: dict(sorted(by_split[name].items())) for name in sorted(splits)},
        left_out=dict(left_out),
        duplicates=dict(duplicates),
    )


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_problems(store: DatasetStore, version: Version) -> Iterator[str]:
    """Say in a line each what of a version is damaged or gone; nothing where it is whole."""
    try:
        index = store.index(version)
        if version_id(version.recipe, index) != version.id:
            yield f"the index of {version.name} is not the one that its id {version.id[:12]} was made of"
        for pack in version.packs:
            if store.file_sha256(pack) != pack:
                yield f"the bytes of pack {pack[:12]} have changed: restore packs/{pack}.parquet from a copy"
        counts = _count(index, version.counts.left_out, version.counts.duplicates)
        if counts != version.counts:
            yield f"the figures of {version.name} are not those of its index"
        entries = {row.image: row for row in index}
        for row in store.rows(version):
            entry, image = entries[row["image"]], f"{image_of(row['image'])} ({row['uri']})"
            made = Addition(decode_sample(row), entry.source, entry.split).row
            if replace(made, pack=entry.pack, digest=entry.digest) != entry:
                yield f"the index of {version.name} does not say what {image} is"
    except (DatasetError, FormatError) as error:
        yield str(error)
