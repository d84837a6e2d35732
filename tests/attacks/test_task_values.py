"""What a task names as its image is the word of a stranger: nothing of this machine is opened for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detseg.errors import ImageError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.queued import QueuedImages
from detseg.sources.manifest import REMOTE
from detseg.sources.registry import Sources
from tests.labelstudio.scenes import TAXONOMY
from tests.sources.servers import Answer, web_server

VALUES = {
    "climbing": "../../../../../../../../../../..{path}",
    "relative": "secret.png",
    "file": "file://{path}",
    "upper case": "FILE://{path}",
    "local": "local://{path}",
    "cached": "simplecache::file://{path}",
    "filecache": "filecache://{path}",
    "zipped": "zip://secret.png::file://{path}",
    "s3 over a file": "s3::file://{path}",
    "folder": "dir://{path}",
    "references": "reference://{path}",
    "memory": "memory://{path}",
    "host": "file://localhost{path}",
    "data": "data:image/png;base64,AAAA",
    "home": "~/secret.png",
    "another task": "labelstudio://1/1",
    "two slashes": "//{path}",
    "password": "https://user:password@127.0.0.1:9/a.png",
    "this machine": "http://127.0.0.1:9/a.png",
}


@pytest.mark.parametrize("name", VALUES)
def test_no_value_of_a_task_opens_a_file(
    client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path, name: str
) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(b"secret")
    project = ensure_project(client, new_title(), TAXONOMY)
    (task,) = client.import_tasks(project, [{"data": {"image": VALUES[name].format(path=path)}}])
    queued = QueuedImages(client, Sources(schemes=REMOTE))
    with pytest.raises(ImageError):
        queued.read(f"labelstudio://{project}/{task}")


LOCATIONS = {
    "file": "file://{path}",
    "local": "local://{path}",
    "chained": "simplecache::file://{path}",
    "this machine": "http://127.0.0.1:9/a.png",
    "no scheme": "//127.0.0.1:9/a.png",
    "another file of the server": "/data/elsewhere.png",
}


@pytest.mark.parametrize("name", LOCATIONS)
def test_no_redirect_of_a_server_opens_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(b"secret")
    with web_server() as server, LabelStudioClient(server.url, "0" * 40, sleep=lambda _: None) as client:
        config = (
            '{"label_config": "<View><Image name=\\"i\\" value=\\"$image\\"/></View>", "id": 1, "title": "t",'
        )
        server.prefixes["/api/projects/1"] = Answer(
            (config + '"created_at": "2026-01-01T00:00:00Z"}').encode()
        )
        server.prefixes["/api/tasks/1/"] = Answer(
            b'{"id": 1, "project": 1, "data": {"image": "/data/a.png"}, "annotations": [], "predictions": []}'
        )
        location = LOCATIONS[name].format(path=path)
        server.answers["/data/a.png"] = Answer(status=302, headers={"Location": location})
        with pytest.raises(ImageError):
            QueuedImages(client, Sources(schemes=REMOTE)).read("labelstudio://1/1")


@pytest.mark.parametrize("scheme", ["file", "local", "github", "ftp", "memory", "simplecache", "zip"])
def test_sources_of_strangers_open_no_other_scheme(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(b"secret")
    sources = Sources(schemes=REMOTE)
    for uri in (f"{scheme}://{path}", str(path)):
        with pytest.raises(ImageError, match="is none of abfs"):
            sources.read(uri)
