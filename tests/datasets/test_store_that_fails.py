"""Versions at an object store that fails: one line, nothing half-visible, and the next try succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from detseg.datasets.store import DatasetStore, find_problems
from detseg.datasets.version import Addition
from detseg.errors import DatasetError
from tests.datasets.test_store import RECIPE, add, make_sample, read, write
from tests.sources.servers import s3_server, s3_variables

SAMPLES = [make_sample(0), make_sample(1, []), make_sample(2, ["nut", "bolt"])]


class _Failing(MemoryFileSystem):  # type: ignore[misc]
    """fsspec's memory, in which a step fails once; ``protocol`` is a URL's scheme."""

    protocol = "failing"
    fails = ""

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        if _Failing.fails and _Failing.fails in rpath:
            _Failing.fails = ""
            raise OSError("503 Slow Down:\nplease reduce your request rate")
        super().put_file(lpath, rpath, *args, **kwargs)


@pytest.mark.parametrize("step", ["packs", "versions", "names"])
def test_a_step_that_fails_shows_nothing(step: str, tmp_path: Path) -> None:
    fsspec.register_implementation("failing", _Failing, clobber=True)
    store = DatasetStore(f"failing://{tmp_path}")
    before = write(store, "before", SAMPLES[:2])
    _Failing.fails = step
    with pytest.raises(DatasetError, match=r"cannot be written: 503 Slow Down: please reduce") as error:
        write(store, "v1", SAMPLES)
    assert "\n" not in str(error.value)
    assert store.versions() == (before,)
    version = write(store, "v1", SAMPLES)
    assert read(store, version) == SAMPLES
    assert not list(find_problems(store, version))


def test_an_s3_that_goes_away_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of a real S3 API: written, read, and one line where it is gone while a version is written."""
    import s3fs

    with s3_server(tmp_path / "log") as url:
        for name, value in s3_variables(url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("parts")
        store = DatasetStore("s3://parts/versions")
        version = write(store, "v1", SAMPLES)
        assert (read(store, version), store.versions()) == (SAMPLES, (version,))
        assert read(DatasetStore("s3://parts/versions"), version) == SAMPLES
        s3fs.S3FileSystem().rm("parts", recursive=True)

        def images() -> Iterator[Addition]:
            yield from add(SAMPLES)

        with pytest.raises(
            DatasetError, match=r"^dataset versions in s3://parts/versions cannot be written: "
        ):
            store.write("v2", RECIPE, images())
    with pytest.raises(
        DatasetError, match=r"^dataset versions in s3://parts/versions cannot be \w+: "
    ) as gone:
        store.version("v1")
    assert "\n" not in str(gone.value)
    s3fs.S3FileSystem.clear_instance_cache()
