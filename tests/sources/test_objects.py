"""Objects of a real S3 API: listed as a folder is, read within bounds, errors in one line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from detseg.errors import ImageError, SourceError
from detseg.sources.objects import Objects
from detseg.sources.protocol import Limits
from detseg.sources.registry import Sources
from detseg.types import Entry, Failure
from tests.sources.servers import endless_server, s3_server, s3_variables

LIMITS = Limits(max_bytes=100)
MOST_SENT = 30_000_000  # what the system's buffers for a connection may have taken before it was closed
KEYS = {
    "photos/b.png": b"1234",
    "photos/sub/": b"",  # what consoles leave for a folder
    "photos/sub/c ü#%.jpg": b"123",
    "photos/sub/.hidden.png": b"1",
    "photos/sub.png": b"12",
    "photos/empty.png": b"",
    "photos/big.png": b"x" * 101,
    "photos/notes.txt": b"text",
    "other/d.png": b"1",
}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 with one bucket."""
    import s3fs

    with s3_server(tmp_path_factory.mktemp("s3") / "log") as url, pytest.MonkeyPatch.context() as patched:
        for name, value in s3_variables(url).items():
            patched.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        files = s3fs.S3FileSystem()
        files.mkdir("parts")
        for key, body in KEYS.items():
            files.pipe_file(f"parts/{key}", body)
        yield url
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def objects(endpoint: str) -> Objects:  # noqa: ARG001
    return Objects("s3", LIMITS)


def test_a_bucket_is_listed_as_a_folder_is(objects: Objects) -> None:
    listed = list(objects.entries("s3://parts"))
    assert [one.uri.removeprefix("s3://parts/") for one in listed] == [
        "other/d.png",
        "photos/b.png",
        "photos/big.png",
        "photos/empty.png",
        "photos/sub.png",
        "photos/sub/c ü#%.jpg",
    ]
    assert [one.reason for one in listed if isinstance(one, Failure)] == [
        "has 101 bytes, source.max_image_bytes allows 100",
        "is empty (0 bytes)",
    ]
    first = listed[0]
    assert isinstance(first, Entry)
    assert (first.byte_size, first.stamp) == (1, '"c4ca4238a0b923820dcc509a6f75849b"')


@pytest.mark.parametrize(
    ("location", "n_listed"), [("s3://parts/photos/sub/", 1), ("s3://parts/photos/notes.txt", 1)]
)
def test_a_part_of_a_bucket_and_a_single_object(objects: Objects, location: str, n_listed: int) -> None:
    assert len(list(objects.entries(location))) == n_listed


@pytest.mark.parametrize("location", ["s3://gone", "s3://parts/gone", "s3://parts/photos/gone.png"])
def test_nothing_there_is_one_line(objects: Objects, location: str) -> None:
    with pytest.raises(SourceError, match=rf"^there is nothing at {location}: name a bucket, a folder or"):
        objects.entries(location)


def test_reading_is_bounded_and_says_why_not(objects: Objects) -> None:
    assert objects.read("s3://parts/photos/sub/c ü#%.jpg") == b"123"
    for key, reason in (
        ("photos/gone.png", "is not there any more"),
        ("photos/big.png", r"has more bytes than source.max_image_bytes allows \(100\)"),
        ("photos/empty.png", "cannot be read"),
    ):
        with pytest.raises(ImageError, match=reason):
            objects.read(f"s3://parts/{key}")


@pytest.mark.parametrize("says", [None, 10**12])
def test_a_store_that_knows_no_ranges_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, says: int | None
) -> None:
    import s3fs

    with endless_server(says=says) as server:
        for name, value in s3_variables(server.url).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(ImageError, match=r"^has more bytes than source.max_image_bytes allows \(100\)"):
            Objects("s3", LIMITS).read("s3://parts/a.png")
        assert server.n_sent < MOST_SENT
    s3fs.S3FileSystem.clear_instance_cache()


def test_changed_bytes_have_another_stamp(objects: Objects, endpoint: str) -> None:  # noqa: ARG001
    import s3fs

    (before,) = objects.entries("s3://parts/other")
    s3fs.S3FileSystem().pipe_file("parts/other/d.png", b"2")
    (after,) = objects.entries("s3://parts/other")
    s3fs.S3FileSystem().pipe_file("parts/other/d.png", b"1")
    assert isinstance(before, Entry)
    assert isinstance(after, Entry)
    assert (before.uri, before.byte_size) == (after.uri, after.byte_size)
    assert before.stamp != after.stamp


def test_a_manifest_in_a_bucket_names_its_neighbours(objects: Objects, endpoint: str) -> None:  # noqa: ARG001
    import s3fs

    rows = 'uri,line\nb.png,3\nsub/../../other/d.png,4\n/etc/a.png,5\nfile:///etc/b.png,6\ns3://parts/other/d.png,"7"\n'
    s3fs.S3FileSystem().pipe_file("parts/photos/list.csv", rows.encode())
    listed = list(Sources(Limits()).entries("s3://parts/photos/list.csv"))
    assert [one for one in listed if isinstance(one, Entry)] == [
        Entry("s3://parts/photos/b.png", metadata='{"line":"3"}'),
        Entry("s3://parts/other/d.png", metadata='{"line":"7"}'),
    ]
    assert [one.reason.partition(",")[2] for one in listed if isinstance(one, Failure)] == [
        " which climbs out of the manifest's folder: give an absolute path if it is meant",
        " a file of this machine, which a manifest from elsewhere may not",
        " a file of this machine, which a manifest from elsewhere may not",
    ]


def test_no_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    for name, value in s3_variables("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(SourceError, match=r"^s3://parts cannot be listed: .*127.0.0.1:9"):
        Objects("s3", LIMITS).entries("s3://parts")
    s3fs.S3FileSystem.clear_instance_cache()
    del tmp_path


@pytest.mark.parametrize(
    ("scheme", "mend"),
    [
        ("gs", r"^gs:// needs another package: pip install 'detseg\[gcs\]'$"),
        ("az", r"^az:// needs another package: pip install 'detseg\[azure\]'$"),
        ("nonsense", r"^nonsense:// is no source of images: give a folder, a manifest, or a URL of s3, "),
    ],
)
def test_what_is_not_installed_or_unknown_says_what_to_do(scheme: str, mend: str) -> None:
    with pytest.raises(SourceError, match=mend):
        Sources().entries(f"{scheme}://parts")
    with pytest.raises(ImageError, match=mend):
        Sources().read(f"{scheme}://parts/a.png")


def test_any_protocol_of_fsspec_is_a_source() -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe_file("/parts/a.png", b"1")
    (found,) = Sources().entries("memory://parts")
    assert Sources().read(found.uri) == b"1"
    files.rm("/parts", recursive=True)


def test_a_store_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore would wait for a minute, and begin again four times."""
    import s3fs

    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in s3_variables(f"http://127.0.0.1:{silent.getsockname()[1]}").items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        objects = Objects("s3", LIMITS, total_s=0.5)
        with pytest.raises(ImageError, match=r"cannot be read: .*Timeout"):
            objects.read("s3://parts/a.png")
        with pytest.raises(SourceError, match=r"cannot be listed: .*Timeout"):
            list(objects.entries("s3://parts"))
    s3fs.S3FileSystem.clear_instance_cache()
