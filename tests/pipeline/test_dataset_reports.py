"""The pages of versions: pictures of what differs, read from where they are, or the reason why not."""

from __future__ import annotations

from pathlib import Path

from detseg.datasets.differences import compare_versions
from detseg.datasets.store import DatasetStore
from detseg.pipeline.dataset_figures import measure_version
from detseg.pipeline.dataset_reports import write_difference_page, write_version_page
from detseg.pipeline.datasets import Wish, create_version
from tests.pipeline.labeled import LabeledProject, belt, bolt, make_project, ring


def write_difference(project: LabeledProject, path: Path, **options: int) -> str:
    store = DatasetStore(project.settings.datasets_location)
    versions = (store.version("v1"), store.version("v2"))
    found = compare_versions(store, *versions)
    write_difference_page(path, project.settings, store, versions=versions, found=found, **options)
    return path.read_text()


def test_what_came_went_and_changed_is_shown(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.add(range(5))
    for number in range(4):
        project.review(number, [bolt(f"a{number}"), ring(f"b{number}")])
    create_version(project.settings, "v1", Wish())
    project.review(0, [bolt("a0", 8), belt("c")], author="<b>ben</b>")
    project.review(1, state="skipped")
    project.review(2)
    project.review(4, [bolt("new")])
    create_version(project.settings, "v2", Wish())
    (tmp_path / "photos" / "photo 2.jpg").unlink()
    (tmp_path / "photos" / "photo 1.jpg").write_bytes((tmp_path / "photos" / "photo 3.jpg").read_bytes())
    html = write_difference(project, tmp_path / "out" / "diff.html")
    assert "person 1 → &lt;b&gt;ben&lt;/b&gt;" in html
    assert "bolt moved 6 px" in html
    assert "4 of 4 images that differ" in html
    assert "No pictures: cannot be read" in html
    assert "No pictures: has other bytes than the ones that were labeled" in html
    assert html.count("data:image/jpeg") == 4 + 2  # of what changed, and of what came
    assert "photo 3.jpg" not in html


def test_few_of_many_have_pictures_and_each_change_some(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.add(range(5))
    project.review(0, [bolt("a")])
    create_version(project.settings, "v1", Wish())
    project.review(0, [bolt("a", 8)])
    for number in range(1, 5):
        project.review(number, [bolt("a")])
    create_version(project.settings, "v2", Wish())
    html = write_difference(project, tmp_path / "diff.html", most=2)
    assert html.count('<article class="card shot"') == 2
    assert "2 of 5 images that differ" in html
    assert "bolt moved 6 px" in html


def test_a_version_has_a_page_of_its_figures(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.add(range(2))
    project.review(0, [bolt("a"), ring("b")], author="<i>anna")
    version = create_version(project.settings, "v1", Wish())
    figures = measure_version(
        DatasetStore(project.settings.datasets_location), version, project.settings.state_path
    )
    write_version_page(tmp_path / "v1.html", project.settings, version, figures)
    html = (tmp_path / "v1.html").read_text()
    assert "&lt;i&gt;anna" in html
    assert "<i>anna" not in html
    assert "masks left out: 1" in html
