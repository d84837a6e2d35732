"""Scanning and predicting: each content once, bad files with their reason, nothing done twice."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from detseg.catalog import Catalog
from detseg.config import Settings
from detseg.errors import ImageError, SourceError
from detseg.images import image_id
from detseg.pipeline.reading import open_sources
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import Size
from tests.pipeline.conftest import FixedPredictor, write_image


def test_equal_files_are_one_image(settings: Settings, catalog: Catalog, folder: Path) -> None:
    found = scan(settings, catalog)
    assert (found.n_files, found.n_new, len(found.images)) == (6, 5, 5)
    assert {ref.id for ref in found.images} == {image_id(path.read_bytes()) for path in folder.iterdir()}
    assert scan(settings, catalog).n_new == 0


def test_a_file_that_did_not_change_is_not_read_again(
    settings: Settings, catalog: Catalog, folder: Path
) -> None:
    before = scan(settings, catalog)
    path = folder / "3.png"
    stamp = path.stat()
    path.write_bytes(b"x" * stamp.st_size)  # same size and time: only reading it could tell
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert scan(settings, catalog).images == before.images


def test_a_file_that_changed_is_a_new_image(settings: Settings, catalog: Catalog, folder: Path) -> None:
    before = scan(settings, catalog)
    write_image(folder / "3.png", seed=99, width=50)
    after = scan(settings, catalog)
    assert after.n_new == 1
    assert len({ref.id for ref in after.images} - {ref.id for ref in before.images}) == 1


def test_what_cannot_be_read_is_quarantined_until_it_can(
    settings: Settings, catalog: Catalog, folder: Path
) -> None:
    bad = folder / "bad.jpg"
    bad.write_bytes(b"no image")
    (folder / "dead.png").symlink_to(folder / "gone.png")
    found = scan(settings, catalog)
    assert [Path(one.uri).name for one in found.failures] == ["bad.jpg", "dead.png"]
    assert "not an image" in found.failures[0].reason
    assert [entry.uri for entry in catalog.quarantine.entries()] == [one.uri for one in found.failures]
    write_image(folder / "bad.png", seed=7)
    bad.unlink()
    (folder / "bad.png").rename(bad)
    assert [Path(one.uri).name for one in scan(settings, catalog).failures] == ["dead.png"]
    assert [Path(entry.uri).name for entry in catalog.quarantine.entries()] == ["dead.png"]


def test_a_scan_that_records_nothing_leaves_the_catalog_empty(settings: Settings, catalog: Catalog) -> None:
    assert scan(settings, catalog, record=False).n_new == 5
    assert catalog.images.count() == 0


def test_what_vanishes_between_listing_and_reading_is_one_line(settings: Settings) -> None:
    files = fsspec.filesystem("memory")
    for name in ("a", "b", "c"):
        files.pipe_file(f"/vanishing/{name}.png", name.encode())
    listed = [one.uri for one in open_sources(settings).entries("memory://vanishing")]
    files.rm("/vanishing/b.png")
    with open_sources(settings) as sources, pytest.raises(ImageError, match="is not there any more"):
        sources.read(listed[1])
    files.rm("/vanishing", recursive=True)


def test_a_file_that_grows_too_large_is_quarantined_by_its_bytes(
    settings: Settings, catalog: Catalog, folder: Path
) -> None:
    largest = max(path.stat().st_size for path in folder.iterdir())
    bounded = settings.updated(source__max_image_bytes=largest)
    assert scan(bounded, catalog).failures == ()
    write_image(folder / "0.png", seed=3, width=200)
    (failure,) = scan(bounded, catalog).failures
    assert failure.uri == str(folder / "0.png")
    assert f"source.max_image_bytes allows {largest:,}" in failure.reason


def test_no_folder_and_an_empty_folder(settings: Settings, catalog: Catalog, tmp_path: Path) -> None:
    gone = settings.updated(source__location=str(tmp_path / "gone"))
    with pytest.raises(SourceError, match="there is no folder"):
        scan(gone, catalog)
    (tmp_path / "empty").mkdir()
    empty = settings.updated(source__location=str(tmp_path / "empty"))
    assert scan(empty, catalog).n_files == 0


def test_shards_hold_every_image_once(settings: Settings, catalog: Catalog) -> None:
    found = scan(settings, catalog)
    shards = found.shards(2)
    assert [len(shard) for shard in shards] == [2, 2, 1]
    assert [ref for shard in shards for ref in shard] == list(found.images)


def test_a_shard_is_predicted_once(settings: Settings, catalog: Catalog, predictor: FixedPredictor) -> None:
    refs = scan(settings, catalog).images
    report = predict_shard(settings, catalog, predictor, refs)
    assert set(report.predicted) == {ref.id for ref in refs}
    assert predictor.n_asked == 5
    assert report.unmapped == {"cat": 5}
    again = predict_shard(settings, catalog, predictor, refs)
    assert (again.predicted, again.unmapped) == ((), {})
    assert predictor.n_asked == 5
    stored = list(catalog.predictions.read([ref.id for ref in refs], predictor.version))
    assert all(len(prediction.regions) == 3 for prediction in stored)
    assert {prediction.size for prediction in stored} == {Size(40, 30)}
    assert len({region.id for prediction in stored for region in prediction.regions}) == 15


def test_one_bad_image_never_sinks_its_batch(
    settings: Settings, catalog: Catalog, predictor: FixedPredictor, folder: Path
) -> None:
    write_image(folder / "unlucky.png", seed=1, width=predictor.refused_width)
    truncated = folder / "truncated.jpg"
    write_image(truncated, seed=8, width=300, height=300)
    truncated.write_bytes(truncated.read_bytes()[:5000])  # its header is whole
    refs = scan(settings, catalog).images
    vanished = next(ref for ref in refs if ref.uri.endswith("2.png"))
    Path(vanished.uri).unlink()
    report = predict_shard(settings, catalog, predictor, refs)
    reasons = {Path(one.uri).name: one.reason for one in report.failures}
    assert reasons.keys() == {"unlucky.png", "truncated.jpg", "2.png"}
    assert reasons["unlucky.png"] == "is too unlucky"
    assert "damaged" in reasons["truncated.jpg"]
    assert "No such file" in reasons["2.png"]
    assert len(report.predicted) == 4


def test_a_file_that_changes_under_the_run_is_not_predicted_under_its_old_id(
    settings: Settings, catalog: Catalog, predictor: FixedPredictor, folder: Path
) -> None:
    refs = scan(settings, catalog).images
    write_image(folder / "4.png", seed=1234)
    report = predict_shard(settings, catalog, predictor, refs)
    assert [Path(one.uri).name for one in report.failures] == ["4.png"]
    assert "changed" in report.failures[0].reason
