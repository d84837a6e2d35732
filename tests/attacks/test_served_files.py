"""An invited annotator tries to read what was never to be shown: the real server gives scanned images only.

Everybody who can sign in to Label Studio may ask for any path, and may add storages, tasks and imports. The
place has what people have in theirs: a key beside an image that a manifest names, a source that is the folder
with our state, hidden files, links to elsewhere, files that are no images.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from detseg.catalog import open_catalog
from detseg.config import Settings, load_settings
from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.server import SERVED, EmbeddedLabelStudio
from detseg.pipeline.push import push
from detseg.pipeline.scan import scan
from detseg.pipeline.shards import predict_shard
from tests.labelstudio.colleague import Colleague, signed_up
from tests.pipeline.conftest import TAXONOMY, VERSION, FixedPredictor, write_image
from tests.workers import first_port

SECRET = b"A-SECRET-OF-THE-OWNER"
CREDENTIALS = "label-studio/credentials.json"


@dataclass(frozen=True)
class Place:
    """A folder that was pushed as a source, with all that is in it, and the annotator who is at the door.

    ``state`` is the server's, ``root`` its document root, ``shown`` the scanned images by their bytes, and
    ``secrets`` how every other file of both begins.
    """

    folder: Path
    state: Path
    root: Path
    project: int
    shown: frozenset[bytes]
    secrets: tuple[bytes, ...]
    annotator: Colleague

    def raw(self, target: str) -> bytes:
        """What the annotator gets for a request line that no client has made tidy."""
        page = self.annotator.page
        connection = http.client.HTTPConnection(urlsplit(str(page.base_url)).netloc, timeout=60)
        cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
        connection.putrequest("GET", target.replace(" ", "%20"))
        connection.putheader("Cookie", cookies)
        connection.endheaders()
        try:
            return connection.getresponse().read()
        finally:
            connection.close()

    def post(self, path: str, body: object) -> bytes:
        headers = {"Authorization": f"Token {self.annotator.token}"}
        return self.annotator.page.post(path, json=body, headers=headers).content


@pytest.fixture(scope="module")
def place(label_studio_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    connection = EmbeddedLabelStudio(label_studio_state, port=first_port(18080)).up()
    folder = tmp_path_factory.mktemp("place") / "my photos"
    outside = folder.with_name("elsewhere")
    for number, name in enumerate(("holiday.jpg", "sub/a.png", "listed/b.png")):
        write_image(folder / name, seed=900 + number)
    shown = frozenset(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for number, name in enumerate((".hidden.png", ".private/c.png", "unlisted.png.bak")):
        write_image(folder / f"{name}.png", seed=950 + number)
        (folder / f"{name}.png").rename(folder / name)
    write_image(outside / "theirs.png", seed=990)
    (folder / "link.png").symlink_to(outside / "theirs.png")
    (folder / "way").symlink_to(outside)
    for name in (".ssh/id_rsa", "notes.txt", "listed/id_rsa", "broken.png", ".env", "../elsewhere/secret"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(SECRET + os.urandom(20).hex().encode())
    (folder / "detseg.toml").write_text(
        f'# {SECRET.decode()}\nsource.location = "."\nmodel.box_threshold = 0.31\n'
    )
    (folder / "list.csv").write_text(f"uri\n{folder / 'listed' / 'b.png'}\n{folder / 'listed' / 'id_rsa'}\n")
    given = {
        "label_studio__url": connection.url,
        "label_studio__files": str(label_studio_state / SERVED),
        "queue__project": "attacked",
        "experiments__control_share": 0.0,
    }
    with LabelStudioClient(connection.url, connection.token) as client, signed_up(client, "invited") as guest:
        project = 0
        for source in (".", "list.csv"):
            settings = load_settings(
                folder / "detseg.toml",
                environ={"DETSEG_LABEL_STUDIO__TOKEN": connection.token},
                source__location=source,
                **given,
            )
            project = pushed(settings)
        others = [folder, label_studio_state / "label-studio", outside]
        files = {path for other in others for path in other.rglob("*") if path.is_file()}
        files = {
            path for path in files if "upload" not in path.parts
        }  # other tests' images, which are served
        secrets = tuple(
            data[:200] for path in files if len(data := path.read_bytes()) > 12 and data not in shown
        )
        root = label_studio_state / SERVED
        yield Place(folder, label_studio_state, root, project, shown, secrets, guest)


def pushed(settings: Settings) -> int:
    settings.state_path.mkdir(exist_ok=True)
    with open_catalog(settings.catalog_url) as catalog:
        refs = scan(settings, catalog).images
        predict_shard(settings, catalog, FixedPredictor(), refs)
        return push(settings, catalog, refs=refs, version=VERSION, taxonomy=TAXONOMY).project_id


def test_the_annotator_sees_every_scanned_image_and_the_folder_holds_no_other(place: Place) -> None:
    tasks = place.annotator.page.get("/api/tasks/", params={"project": place.project}).json()["tasks"]
    assert {place.raw(task["data"]["image"]) for task in tasks} == place.shown
    served = {path.read_bytes() for path in place.root.rglob("*") if path.is_file()}
    assert place.shown <= served
    assert not any(secret in data for secret in place.secrets for data in served)


TARGETS: dict[str, Callable[[Place], Path]] = {
    "key beside an image": lambda place: place.folder / "listed" / "id_rsa",
    "key in .ssh": lambda place: place.folder / ".ssh" / "id_rsa",
    "hidden image": lambda place: place.folder / ".hidden.png",
    "image in a hidden folder": lambda place: place.folder / ".private" / "c.png",
    "link to elsewhere": lambda place: place.folder / "link.png",
    "folder that is a link": lambda place: place.folder / "way" / "theirs.png",
    "no image": lambda place: place.folder / "notes.txt",
    "broken image": lambda place: place.folder / "broken.png",
    "image of another name": lambda place: place.folder / "unlisted.png.bak",
    ".env of the source": lambda place: place.folder / ".env",
    "detseg.toml": lambda place: place.folder / "detseg.toml",
    "manifest": lambda place: place.folder / "list.csv",
    "catalog": lambda place: place.folder / ".detseg" / "catalog.sqlite3",
    "credentials": lambda place: place.state / CREDENTIALS,
    "Label Studio's database": lambda place: place.state / "label-studio" / "data" / "label_studio.sqlite3",
    "Label Studio's .env": lambda place: place.state / "label-studio" / "data" / ".env",
    "server's log": lambda place: place.state / "label-studio" / "server.log",
    "password file": lambda _: Path("/etc/passwd"),
    "environment": lambda _: Path("/proc/self/environ"),
}
"""What an annotator would like to have."""

WAYS: dict[str, Callable[[Place, Path], str]] = {
    "absolute": lambda _, path: f"d={quote(str(path))}",
    "from the root": lambda _, path: f"d={quote(str(path).lstrip('/'))}",
    "climbing": lambda place, path: f"d={quote(os.path.relpath(path, place.root))}",
}
MORE_WAYS: dict[str, Callable[[Place, Path], str]] = {
    "climbing from the images": lambda place, path: (
        f"d=detseg-images/{quote(os.path.relpath(path, place.root / 'detseg-images'))}"
    ),
    "encoded dots": lambda place, path: (
        f"d=detseg-images/%2e%2e/{os.path.relpath(path, place.root).replace('..', '%2e%2e')}"
    ),
    "encoded slashes": lambda place, path: f"d={quote(os.path.relpath(path, place.root), safe='')}",
    "encoded twice": lambda place, path: f"d={quote(quote(os.path.relpath(path, place.root), safe=''))}",
    "backslashes": lambda place, path: f"d={quote(os.path.relpath(path, place.root).replace('/', chr(92)))}",
    "doubled dots": lambda place, path: f"d={os.path.relpath(path, place.root).replace('..', '....')}",
    "doubled slashes": lambda place, path: f"d=//{os.path.relpath(path, place.root).replace('/', '//')}",
    "a dot between": lambda place, path: f"d=detseg-images/./../{os.path.relpath(path, place.root)}",
    "a null at the end": lambda place, path: f"d={quote(os.path.relpath(path, place.root))}%00.png",
    "overlong dots": lambda place, path: (
        f"d={os.path.relpath(path, place.root).replace('..', '%c0%ae%c0%ae')}"
    ),
    "wide dots": lambda place, path: f"d={quote(os.path.relpath(path, place.root).replace('..', '．．'))}",
    "a file URL": lambda _, path: f"d=file://{quote(str(path))}",
    "given twice": lambda place, path: f"d=detseg-images/a.png&d={quote(os.path.relpath(path, place.root))}",
    "a home": lambda _, path: f"d=~/{path.name}",
    "a line break": lambda _, path: f"d=detseg-images%0a{quote(str(path))}",
}
"""How a path can be written in a request for a local file."""


def test_no_answer_holds_anything_else(place: Place) -> None:
    """Self-test: the secrets are there to be found, for the owner of the machine."""
    secrets = place.secrets
    for name, target in TARGETS.items():
        path = target(place)
        if name not in ("password file", "environment"):
            assert path.read_bytes()[:200] in secrets, name


def is_clean(place: Place, answer: bytes) -> bool:
    """Whether an answer holds nothing of the machine's but scanned images."""
    return answer in place.shown or not (
        SECRET in answer
        or any(secret in answer for secret in place.secrets)
        or b"root:x:0:" in answer
        or b"LABEL_STUDIO_USER_TOKEN=" in answer
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", TARGETS)
def test_files_are_not_served_by_their_paths(place: Place, target: str, way: str) -> None:
    for view in ("/data/local-files/", "/data/local-files"):
        assert is_clean(place, place.raw(f"{view}?{WAYS[way](place, TARGETS[target](place))}"))


@pytest.mark.parametrize("way", MORE_WAYS)
def test_paths_that_are_written_oddly_lead_nowhere(place: Place, way: str) -> None:
    for target in ("key beside an image", "credentials", "password file"):
        query = MORE_WAYS[way](place, TARGETS[target](place))
        assert is_clean(place, place.raw(f"/data/local-files/?{query}"))


PREFIXES = (
    "/data/upload",
    "/static",
    "/dm",
    "/react-app",
    "/storage-data/uploaded/?filepath=upload",
    "/data",
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_servers_other_files_lead_nowhere(place: Place, prefix: str) -> None:
    for target in ("credentials", "Label Studio's database", "Label Studio's .env", "password file"):
        path = str(TARGETS[target](place))
        for climb in ("/..", "/%2e%2e", "/..%2f", "/.%00."):
            assert is_clean(place, place.raw(f"{prefix}{climb * 12}{quote(path)}"))


FOLDERS: dict[str, Callable[[Place], Path | str]] = {
    "root": lambda _: "/",
    "system": lambda _: "/etc",
    "source": lambda place: place.folder,
    "listed": lambda place: place.folder / "listed",
    "state": lambda place: place.folder / ".detseg",
    "server's state": lambda place: place.state,
    "Label Studio's folder": lambda place: place.state / "label-studio",
    "document root": lambda place: place.root,
    "climbing": lambda place: f"{place.root}/detseg-images/../..",
    "beginning alike": lambda place: f"{place.root}-beside",
}


@pytest.mark.parametrize("kind", ["localfiles", "export/localfiles"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_no_storage_of_an_annotator_opens_another_folder(place: Place, kind: str, folder: str) -> None:
    path = FOLDERS[folder](place)
    for use_blob_urls in (True, False):
        body = {"project": place.project, "path": str(path), "use_blob_urls": use_blob_urls}
        answer = place.post(f"/api/storages/{kind}", body)
        assert json.loads(answer)["status_code"] == 400, answer
        assert is_clean(place, answer)
    for target in ("key beside an image", "credentials"):
        query = WAYS["climbing"](place, TARGETS[target](place))
        assert is_clean(place, place.raw(f"/data/local-files/?{query}"))


def test_a_storage_of_the_images_lists_and_imports_nothing_but_images(place: Place) -> None:
    own = json.loads(place.post("/api/projects/", {"title": "own"}))["id"]
    body = {"project": own, "path": str(place.root / "detseg-images"), "use_blob_urls": True}
    row = json.loads(place.post("/api/storages/localfiles", {**body, "recursive_scan": True}))["id"]
    place.post(f"/api/storages/localfiles/{row}/sync", {})
    tasks = place.annotator.page.get("/api/tasks/", params={"project": own, "page_size": 1000}).json()[
        "tasks"
    ]
    assert len(tasks) >= len(place.shown)
    for task in tasks:
        (url,) = task["data"].values()
        data = place.raw(url)
        assert url.rpartition("/")[2].startswith(image_id(data).removeprefix("sha256:"))


@pytest.mark.parametrize("scheme", ["file://", "local://", "FILE://", "file://localhost", "file:"])
def test_imports_and_stored_addresses_read_no_files(place: Place, scheme: str) -> None:
    for target in ("credentials", "password file"):
        url = f"{scheme}{TARGETS[target](place)}"
        assert is_clean(place, place.post(f"/api/projects/{place.project}/import", {"url": url}))
        coded = base64.urlsafe_b64encode(url.encode()).decode()
        assert is_clean(place, place.raw(f"/projects/{place.project}/resolve/?fileuri={coded}"))
        tasks = place.annotator.page.get("/api/tasks/", params={"project": place.project}).json()["tasks"]
        assert is_clean(place, place.raw(f"/tasks/{tasks[0]['id']}/resolve/?fileuri={coded}"))
