"""Images that are uploaded, fetched from a web server, or signed in an S3: a push, and the page shows them.

What the server reads from its disk is in test_browser.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from PIL import Image

from detseg.catalog import Catalog, open_catalog
from detseg.config import Settings, load_settings
from detseg.errors import LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import LOCAL_HOOKS, Connection, EmbeddedLabelStudio
from detseg.pipeline.push import push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from detseg.types import Box, Instance, Size
from tests.e2e.page import LabelingPage, labeling_page
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor
from tests.sources.servers import Answer, WebServer, s3_server, s3_variables, web_server
from tests.workers import first_port

NAME = "ü #1+%.png"
SIZE = Size(64, 48)
COLOURS = {(16, 12): (200, 30, 30), (48, 12): (30, 160, 30), (16, 36): (30, 30, 200), (48, 36): (240, 240, 0)}
"""Of each quarter of the picture, by the pixel in its middle."""
ANY = {"Access-Control-Allow-Origin": "*"}


@dataclass(frozen=True)
class Place:
    """A Label Studio that may ask the S3 on this machine (bucket ``parts``), and a tab that is logged in."""

    connection: Connection
    client: LabelStudioClient
    tab: LabelingPage
    s3: Any


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    with s3_server(folder / "s3.log") as url, pytest.MonkeyPatch.context() as patched:
        variables = s3_variables(url)
        for name, value in variables.items():
            patched.setenv(name, value)
        server = EmbeddedLabelStudio(
            folder / "state", port=first_port(18380), variables=variables | LOCAL_HOOKS
        )
        connection = server.up()
        s3 = boto3.client("s3", endpoint_url=url)
        s3.create_bucket(Bucket="parts")
        try:
            with (
                LabelStudioClient(connection.url, connection.token) as client,
                labeling_page(connection) as tab,
            ):
                yield Place(connection, client, tab, s3)
        finally:
            s3.close()
            server.down()


@pytest.fixture
def picture() -> bytes:
    """Four quarters of other colours."""
    image = Image.new("RGB", (SIZE.width, SIZE.height))
    for (x, y), colour in COLOURS.items():
        image.paste(colour, (x - 16, y - 12, x + 16, y + 12))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with open_catalog(f"sqlite:///{tmp_path / 'catalog.sqlite3'}") as opened:
        yield opened


@pytest.fixture
def web(picture: bytes) -> Iterator[WebServer]:
    """A web server whose folder ``open`` says that pages of others may show its files; ``shut`` does not."""
    listing = Answer(b'<a href="%C3%BC%20%231+%25.png">x</a>', headers={"Content-Type": "text/html"})
    answers = {
        "/open/": listing,
        "/shut/": listing,
        "/open/%C3%BC%20%231+%25.png": Answer(picture, headers=ANY),
        "/open/%C3%BC%20%231%2B%25.png": Answer(picture, headers=ANY),
        "/shut/%C3%BC%20%231+%25.png": Answer(picture),
    }
    with web_server(answers) as server:
        yield server


@pytest.fixture
def settings(place: Place, new_title: Callable[[], str], tmp_path: Path) -> Callable[..., Settings]:
    """Settings for a project of the test's own."""

    def make(**values: object) -> Settings:
        return load_settings(
            None,
            environ={"DETSEG_LABEL_STUDIO__TOKEN": place.connection.token},
            state_dir=str(tmp_path / "state"),
            label_studio__url=place.connection.url,
            queue__project=new_title(),
            experiments__control_share=0.0,
            source__allow_private_addresses=True,
            **values,
        )

    return make


class CornerPredictor(FixedPredictor):
    """Sees one thing in a corner, so that nothing lies on the rest of a picture."""

    def _instances(self, size: Size) -> tuple[Instance, ...]:
        return (Instance("bolt", "thing", Box(size.width - 4, 0, size.width, 4), None, 0.9, "detector"),)


def pushed(place: Place, settings: Settings, catalog: Catalog) -> tuple[int, dict[str, Any]]:
    """The project and its one task."""
    refs = scan(settings, catalog).images
    predict_shard(settings, catalog, CornerPredictor(), refs)
    project = push(settings, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY).project_id
    (task,) = place.client.task_ids(project)
    return project, place.client.task(task)


def is_shown(tab: LabelingPage, project: int, task: int, picture: Path) -> bool:
    """Opens the task, and looks at the pixels in the middle of each quarter."""
    tab.open_task(project, task, n_regions=1)
    tab.picture(picture)
    with Image.open(picture) as seen:
        pixels = seen.convert("RGB")
        return all(pixels.getpixel(tab.on_screen(*xy, size=SIZE)) == colour for xy, colour in COLOURS.items())


def test_a_copy_on_the_server_is_shown(
    place: Place, settings: Callable[..., Settings], catalog: Catalog, picture: bytes, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / NAME).write_bytes(picture)
    values = settings(source__location=str(tmp_path / "photos"), queue__serve_images="upload")
    project, task = pushed(place, values, catalog)
    assert task["data"]["image"].startswith("/data/upload/")
    assert is_shown(place.tab, project, task["id"], tmp_path / "page.png")


@pytest.mark.parametrize("prefixed", [False, True])
def test_an_image_of_a_web_server_is_shown(
    place: Place,
    settings: Callable[..., Settings],
    catalog: Catalog,
    web: WebServer,
    picture: bytes,
    tmp_path: Path,
    prefixed: bool,
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / NAME).write_bytes(picture)
    own, by_prefix = f"{web.url}/open/", {"queue__image_url_prefix": f"{web.url}/open"}
    source = (
        {"source__location": str(tmp_path / "photos"), **by_prefix} if prefixed else {"source__location": own}
    )
    project, task = pushed(place, settings(queue__serve_images="url", **source), catalog)
    assert task["data"]["image"].startswith(f"{web.url}/open/")
    assert is_shown(place.tab, project, task["id"], tmp_path / "page.png")


def test_a_web_server_that_allows_no_other_page_is_refused_and_would_show_nothing(
    place: Place, settings: Callable[..., Settings], catalog: Catalog, web: WebServer
) -> None:
    values = settings(source__location=f"{web.url}/shut/", queue__serve_images="url")
    with pytest.raises(LabelStudioError, match=r"no Access-Control-Allow-Origin: .*no task was sent"):
        pushed(place, values, catalog)
    (project,) = place.client.find_projects(values.queue.project)
    assert place.client.task_ids(project.id) == ()
    url = f"{web.url}/shut/%C3%BC%20%231+%25.png"
    (task,) = place.client.import_tasks(project.id, [{"data": {"image": url}}])
    place.tab.page.goto(f"{place.tab.url}/projects/{project.id}/data?task={task}")
    place.tab.page.get_by_text("There was an issue loading URL").wait_for()


def test_an_object_of_an_s3_is_shown(
    place: Place, settings: Callable[..., Settings], catalog: Catalog, picture: bytes, tmp_path: Path
) -> None:
    place.s3.put_object(Bucket="parts", Key=f"sub/{NAME}", Body=picture)
    project, task = pushed(
        place, settings(source__location="s3://parts/sub", queue__serve_images="storage"), catalog
    )
    assert place.client.task_data(task["id"], project=project)["image"] == f"s3://parts/sub/{NAME}"
    assert is_shown(place.tab, project, task["id"], tmp_path / "page.png")
