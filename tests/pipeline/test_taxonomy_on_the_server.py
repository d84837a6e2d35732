"""A real Label Studio after its classes changed: nobody's work is lost, and a split is sent once."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detseg.catalog import Catalog
from detseg.config import ClassSettings, Settings, settings_template
from detseg.config.classes import ChangeSettings, TaxonomySettings
from detseg.errors import ConfigError
from detseg.labelstudio.class_changes import find_in_use
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.interface import read_interface
from detseg.labelstudio.session import Json
from detseg.pipeline.collect import collect
from detseg.pipeline.labels import LabelRules, read_labels
from detseg.pipeline.pushing.guidance import follow_guidance
from detseg.pipeline.taxonomy import apply_changes, taxonomy_log
from detseg.pipeline.workspace import opened_catalog
from tests.pipeline.reviewing import fill_queue, submit, tasks_of

RENAMED = ChangeSettings(
    id="1-strip", date=date(2026, 11, 1), kind="rename", old=("belt",), new=("strip ö",), reason="so"
)
SPLIT = ChangeSettings(
    id="2-bolts", date=date(2026, 11, 2), kind="split", old=("bolt",), new=("hex", "torx"), reason="two bins"
)
CLASSES = (
    ClassSettings(name="hex"),
    ClassSettings(name="torx"),
    ClassSettings(name="strip ö", kind="stuff"),
)
CHANGES: dict[str, Any] = {"classes": CLASSES, "taxonomy": TaxonomySettings(changes=(RENAMED, SPLIT))}


@pytest.fixture
def project(queue: Settings, catalog: Catalog, client: LabelStudioClient) -> int:
    """Five tasks, of which people submitted four in the old classes."""
    made = fill_queue(queue, catalog)
    for task in tasks_of(client, made)[:4]:
        submit(client, task)
    collect(queue)
    return made


@pytest.fixture
def changed(queue: Settings) -> Settings:
    return queue.updated(**CHANGES)


def marks_of(task: Json) -> list[list[Json]]:
    """The results of the predictions that a split brought."""
    return [one["result"] for one in task["predictions"] if one["model_version"] == "taxonomy:2-bolts"]


def annotations_of(client: LabelStudioClient, project: int) -> list[Any]:
    """What people made, and when, task by task."""
    fields = ("id", "result", "completed_by", "was_cancelled", "created_at", "updated_at", "lead_time")
    tasks = tasks_of(client, project)
    return [[{name: one[name] for name in fields} for one in task["annotations"]] for task in tasks]


def labels_of(settings: Settings) -> list[set[str]]:
    with opened_catalog(settings) as catalog:
        (project,) = catalog.projects.all()
        return [
            {region.instance.label for region in label.annotation.regions}
            for label in read_labels(catalog, project, LabelRules())
        ]


def relabel(client: LabelStudioClient, task: Json, **names: str) -> None:
    """What a person does to their annotation: other labels on the same shapes."""
    (annotation,) = task["annotations"]
    for result in annotation["result"]:
        (name,) = result["value"][result["type"]]
        result["value"][result["type"]] = [names.get(name, name)]
    client.update_annotation(annotation["id"], result=annotation["result"])


def test_a_split_marks_each_image_once_and_touches_nobodys_work(
    changed: Settings, client: LabelStudioClient, project: int
) -> None:
    before, config = annotations_of(client, project), client.project(project).label_config
    (planned,) = apply_changes(changed, dry_run=True)
    assert (planned.n_images, planned.n_regions, planned.n_marked) == (4, 8, 4)
    assert (annotations_of(client, project), client.project(project).label_config) == (before, config)
    assert not any(map(marks_of, tasks_of(client, project)))
    (done,) = apply_changes(changed)
    assert (done.n_images, done.n_marked, done.left_out) == (4, 4, ())
    assert done.url is not None
    tasks = tasks_of(client, project)
    assert annotations_of(client, project) == before
    assert [len(marks_of(task)) for task in tasks] == [1, 1, 1, 1, 0]
    for result in marks_of(tasks[0])[0]:
        (label,) = result["value"][result["type"]]
        assert label in {"bolt", "strip ö"}
        assert ("meta" in result) == (label == "bolt")
    assert "split bolt > hex | torx: two bins" in json.dumps(marks_of(tasks[0]))
    (again,) = apply_changes(changed)
    assert (again.n_images, again.n_marked, again.url) == (4, 0, done.url)
    assert [len(marks_of(task)) for task in tasks_of(client, project)] == [1, 1, 1, 1, 0]


def test_the_interface_follows_and_old_names_stay_while_work_has_them(
    changed: Settings, client: LabelStudioClient, project: int
) -> None:
    edited = client.project(project).label_config.replace(
        "</View>", '<Choices name="light" toName="image"><Choice value="dark"/></Choices></View>', 1
    )
    client.update_project(project, label_config=edited)
    apply_changes(changed)
    interface = read_interface(config := client.project(project).label_config)
    assert interface.offered("rectangle") == {"hex", "torx", "bolt"}
    assert interface.offered("brush") == {"hex", "torx", "strip ö", "bolt", "belt"}
    assert "bolt: hex or torx?" in config
    assert "belt (now strip ö)" in config
    assert "Choices" in config
    assert find_in_use(client, project, ["bolt", "belt", "strip ö", "gear"]) == {"bolt", "belt", "strip ö"}
    for task in tasks_of(client, project):
        for prediction in task["predictions"]:
            client.session.send("DELETE", f"/api/predictions/{prediction['id']}/")
        if task["annotations"]:
            relabel(client, task, bolt="torx", belt="strip ö")
    assert find_in_use(client, project, ["bolt", "belt"]) == frozenset()
    apply_changes(changed)
    assert read_interface(client.project(project).label_config).offered("brush") == {"hex", "torx", "strip ö"}


def test_people_answer_the_split_and_late_work_in_old_names_is_read(
    changed: Settings, client: LabelStudioClient, project: int
) -> None:
    apply_changes(changed)
    assert labels_of(changed) == []
    first, *_, last = tasks_of(client, project)
    relabel(client, first, bolt="hex")
    submit(client, last, [one for one in last["predictions"][0]["result"] if "belt" in json.dumps(one)])
    report = collect(changed)
    assert (report.new, report.updated, report.failures, report.missing_labels) == (1, 1, (), ())
    assert sorted(map(sorted, labels_of(changed))) == [["hex", "strip ö"], ["strip ö"]]
    (left,) = apply_changes(changed)
    assert (left.n_images, left.n_marked) == (3, 0)
    assert collect(changed, full=True).updated == 0  # what is kept is what the server says, in its words
    found = taxonomy_log(changed)
    assert [(one.change.id, one.n_regions) for one in found.changes] == [("1-strip", 5), ("2-bolts", 6)]


def test_the_instruction_says_what_classes_mean_and_keeps_what_people_wrote(
    queue: Settings, client: LabelStudioClient, project: int, tmp_path: Path
) -> None:
    Image.new("RGB", (900, 600), "#c07828").save(tmp_path / "bolt.png")
    bolt = ClassSettings(
        name="bolt", definition="A <b>pin</b> & <script>x</script>", examples=(str(tmp_path / "bolt.png"),)
    )
    guided = queue.updated(classes=(bolt, ClassSettings(name="belt", kind="stuff")))
    client.update_project(project, expert_instruction="<p>Ours.</p>")
    follow_guidance(guided.declared_taxonomy, client, client.project(project), guided.path)
    said = client.project(project).instruction
    assert said.startswith("<p>Ours.</p><section")
    assert "A &lt;b&gt;pin&lt;/b&gt; &amp; &lt;script&gt;x&lt;/script&gt;" in said
    (source,) = re.findall(r'<img src="([^"]+)"', said)
    with Image.open(io.BytesIO(client.fetch(source))) as sent:
        assert (sent.format, sent.size) == ("JPEG", (400, 267))
    n_files = len(client.uploads(project))
    follow_guidance(guided.declared_taxonomy, client, client.project(project), guided.path)
    assert (client.project(project).instruction, len(client.uploads(project))) == (said, n_files)
    follow_guidance(queue.declared_taxonomy, client, client.project(project), queue.path)
    assert client.project(project).instruction == "<p>Ours.</p>"
    lost = queue.updated(classes=(ClassSettings(name="bolt", examples=("no.png",)),))
    with pytest.raises(ConfigError, match=r"an example of the class 'bolt', no.png, "):
        follow_guidance(lost.declared_taxonomy, client, client.project(project), lost.path)


def test_a_run_that_was_killed_before_it_knew_marks_once_when_run_again(
    changed: Settings, client: LabelStudioClient, project: int, tmp_path: Path
) -> None:
    file = tmp_path / "detseg.toml"
    file.write_text(settings_template(changed.updated(label_studio__patience_s=1.0)))
    command = [sys.executable, "-m", "detseg", "taxonomy", "apply", "--json", "--config", str(file)]
    killed = subprocess.run(
        command, env={**os.environ, "DETSEG_FAILPOINT": "push.after_request"}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    before = annotations_of(client, project)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["splits"][0]["images"] == 4
    assert [len(marks_of(task)) for task in tasks_of(client, project)] == [1, 1, 1, 1, 0]
    assert annotations_of(client, project) == before
