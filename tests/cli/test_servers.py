"""status without servers."""

from __future__ import annotations

from pathlib import Path

from detseg.catalog import IMPORTED_BY, FoundImage, Quarantined, open_catalog
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import Connection
from detseg.types import Annotation, Entry, ImageId, Size
from tests.cli.conftest import Run
from tests.labelstudio.colleague import signed_up


def test_status_of_nothing_says_so_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    assert run("status", "--json").json == {
        "label_studio": {"running": False, "healthy": False, "url": None},
        "prefect": {"running": False, "url": None},
        "catalog": {"images": 0, "model": None, "quarantine": [], "projects": []},
        "state_dir": str(tmp_path / ".detseg"),
    }
    assert run("status").out.splitlines()[:2] == [
        "Label Studio  does not run (`detseg up` starts it)",
        "Prefect       does not run (`detseg up` starts it)",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_label_studio_of_ones_own_is_named_and_not_missed(run: Run, tmp_path: Path) -> None:
    own = "https://labels.example.com"
    (tmp_path / "detseg.toml").write_text(f'[label_studio]\nurl = "{own}"\n')
    assert run("status", "--json").json["label_studio"] == {"running": None, "healthy": None, "url": own}
    assert run("status").out.splitlines()[0] == f"Label Studio  {own} (`detseg doctor` looks)"


def test_the_people_of_label_studio_are_named(
    run: Run, tmp_path: Path, client: LabelStudioClient, label_studio: Connection
) -> None:
    (tmp_path / "detseg.toml").write_text(f'[label_studio]\nurl = "{label_studio.url}"\n')
    (tmp_path / "token").write_text(label_studio.token)
    (tmp_path / "token").chmod(0o600)
    with (tmp_path / "detseg.toml").open("a") as settings:
        settings.write('token_file = "token"\n')
    with signed_up(client, "colleague who is named") as colleague:
        answer = run("status", "--people", "--json").json["people"]
        assert answer[f"user-{colleague.id}"] == colleague.email
        assert f"user-{colleague.id:<7}  {colleague.email}\n" in run("status", "--people").out
    assert "people" not in run("status", "--json").json


def test_labels_that_were_imported_count_before_any_server_is_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".detseg").mkdir()
    image, size = ImageId("sha256:" + "0" * 64), Size(40, 20)
    with open_catalog(f"sqlite:///{tmp_path / '.detseg' / 'catalog.sqlite3'}") as catalog:
        catalog.images.record([FoundImage(image, size, Entry("/cells/a.png", 1, "1"))])
        project = catalog.projects.record_unserved("cells", label_config="<View/>")
        catalog.imports.record(
            project.key, "old", [Annotation(image, size, f"{IMPORTED_BY}old", "empty", ())]
        )
    states = {"unlabeled": 0, "labeled": 0, "empty": 1, "skipped": 0}
    assert run("status", "--json").json["catalog"]["projects"] == [{"title": "cells", "tasks": states}]
    assert "images of 'cells', as last collected: 0 unlabeled, 0 labeled, 1 empty" in run("status").out


def test_what_is_in_quarantine_is_named_and_can_be_forgotten(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".detseg").mkdir()
    failed = [Quarantined(f"/photos/{n:02}\n.png", "is no image", "read") for n in range(12)]
    with open_catalog(f"sqlite:///{tmp_path / '.detseg' / 'catalog.sqlite3'}") as catalog:
        catalog.quarantine.record(failed)
    assert run("status", "--json").json["catalog"]["quarantine"] == [
        {"uri": one.uri, "reason": one.reason, "stage": "read"} for one in failed
    ]
    assert "quarantine    12 images (`detseg status --quarantine` names them)\n" in run("status").out
    named = run("status", "--quarantine").out.splitlines()
    assert "quarantine    12 images" in named
    assert [line.strip() for line in named if "/photos/" in line] == [
        f"/photos/{n:02}\\n.png is no image" for n in range(12)
    ]
    assert "quarantine  " not in run("status", "--clear-quarantine").out
    assert run("status", "--json").json["catalog"]["quarantine"] == []
