"""Images reach the browser in every way that there is, and what would not load is said before or at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detseg.errors import FormatError, ImageError, LabelStudioError
from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.served import ServedFolder
from detseg.labelstudio.serving import ImageServing, LocalFiles
from detseg.labelstudio.serving_upload import Uploads
from detseg.labelstudio.serving_url import UrlServing
from detseg.sources.protocol import Limits
from detseg.sources.registry import Sources
from detseg.types import ImageId, ImageRef
from tests.labelstudio.scenes import TAXONOMY
from tests.sources.servers import Answer, WebServer, web_server

NewTitle = Callable[[], str]
ANY = {"Access-Control-Allow-Origin": "*"}
PRIVATE = Limits(allow_private=True)


def written(path: Path, *, grey: int = 0, format_: str | None = None) -> ImageRef:
    """A small image; greys make different bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 10), grey).save(path, format_)
    return ImageRef(image_id(path.read_bytes()), str(path))


@pytest.fixture
def project(client: LabelStudioClient, new_title: NewTitle) -> int:
    return ensure_project(client, new_title(), TAXONOMY)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def made_task(client: LabelStudioClient, project: int, ref: ImageRef, url: str) -> dict[str, Any]:
    data = {"image": url, "image_id": ref.id, "width": 20, "height": 10}
    (task,) = client.import_tasks(project, [{"data": data}])
    return client.task(task)


def served(client: LabelStudioClient, project: int, serving: ImageServing, ref: ImageRef) -> dict[str, Any]:
    """A task whose image is served so."""
    serving.prepare([ref])
    return made_task(client, project, ref, serving.url(ref))


def test_local_files_are_served_from_a_folder_of_images_alone(
    client: LabelStudioClient, project: int, document_root: Path, tmp_path: Path
) -> None:
    refs = [written(tmp_path / "source" / "sub" / "ü #1.png"), written(tmp_path / "b", grey=2, format_="BMP")]
    folder = ServedFolder(document_root)
    for _ in range(2):
        serving = LocalFiles(client, project, folder)
        for ref in refs:
            serving.check(served(client, project, serving, ref))
    assert client.local_storages(project) == (str(folder.path),)
    digests = [ref.id.removeprefix("sha256:") for ref in refs]
    assert [serving.url(ref).rpartition("/")[2] for ref in refs] == [
        f"{digests[0]}.png",
        f"{digests[1]}.bmp",
    ]


def test_a_local_file_that_does_not_load_is_said_with_its_mend(
    client: LabelStudioClient, project: int, document_root: Path, tmp_path: Path
) -> None:
    ref = written(tmp_path / "source" / "a.png", grey=3)
    folder = ServedFolder(document_root)
    serving = LocalFiles(client, project, folder)
    task = served(client, project, serving, ref)
    written(tmp_path / "source" / "a.png", grey=9)
    with pytest.raises(
        LabelStudioError, match=r"bytes that are not those of the image that was predicted: the"
    ):
        serving.check(task)
    assert not folder.holds(ref.id)
    folder.withdraw(ref.id)
    with pytest.raises(
        LabelStudioError, match=r"does not load in the annotator's browser .*LOCAL_FILES_SERVING"
    ):
        serving.check(task)
    serving.renew([ref])
    with pytest.raises(ImageError, match="changed since it was predicted"):
        serving.url(ref)
    written(tmp_path / "source" / "a.png", grey=3)
    serving = LocalFiles(client, project, folder)
    serving.renew([ref])
    serving.check(task)
    with pytest.raises(FormatError, match=r"s3://a/b.png is no local file.*set queue.serve_images to"):
        serving.url(ImageRef(ref.id, "s3://a/b.png"))


def test_uploads_are_made_once(client: LabelStudioClient, project: int, tmp_path: Path) -> None:
    refs = [written(tmp_path / f"{n}.png", grey=n) for n in range(60)]
    refs.append(written(tmp_path / "named wrongly.gif", format_="JPEG"))
    first = Uploads(client, project, Sources)
    first.prepare(refs[:30])
    again = Uploads(client, project, Sources)  # another run, which knows nothing of the first
    again.prepare(refs)
    again.prepare(refs)
    assert len(client.uploads(project)) == 61
    assert [again.url(ref) for ref in refs[:30]] == [first.url(ref) for ref in refs[:30]]
    assert again.url(refs[-1]).endswith(".jpg")
    assert client.task_ids(project) == ()
    for ref in (refs[0], refs[-1]):
        again.check(made_task(client, project, ref, again.url(ref)))


def test_what_cannot_be_uploaded_is_said_and_the_rest_is_uploaded(
    client: LabelStudioClient, project: int, tmp_path: Path
) -> None:
    good, gone, changed, avif = (
        written(tmp_path / name, grey=n) for n, name in enumerate(("a.png", "b.png", "c.png", "d.avif"))
    )
    Path(gone.uri).unlink()
    written(Path(changed.uri), grey=77)
    serving = Uploads(client, project, Sources)
    serving.prepare([gone, good, changed, avif])
    assert serving.url(good).startswith(f"/data/upload/{project}/")
    for ref, reason in (
        (gone, "cannot be read"),
        (changed, "changed since it was predicted"),
        (avif, "is AVIF, which Label Studio takes no upload of"),
    ):
        with pytest.raises(ImageError, match=reason):
            serving.url(ref)


def test_an_upload_that_is_lost_on_the_server_is_said(
    client: LabelStudioClient, project: int, tmp_path: Path
) -> None:
    ref = written(tmp_path / "a.png")
    serving = Uploads(client, project, Sources)
    task = served(client, project, serving, ref)
    task["data"]["image"] = task["data"]["image"].replace(".png", "-gone.png")
    with pytest.raises(LabelStudioError, match=r"does not load in the annotator's browser .*media folder"):
        serving.check(task)


def test_urls_are_looked_at_before_tasks_are_sent(
    client: LabelStudioClient, project: int, web: WebServer, tmp_path: Path
) -> None:
    local = written(tmp_path / "sub" / "ü.png")
    body = Path(local.uri).read_bytes()
    web.answers["/files/sub/%C3%BC.png"] = Answer(body, headers=ANY)
    own = ImageRef(local.id, f"{web.url}/files/sub/%C3%BC.png")
    for serving, ref in (
        (UrlServing(client.url, web.url, None, PRIVATE), own),
        (UrlServing(client.url, str(tmp_path), f"{web.url}/files/", PRIVATE), local),
    ):
        task = served(client, project, serving, ref)
        assert task["data"]["image"] == own.uri
        serving.check(task)
        n_asked = len(web.asked)
        serving.prepare([ref])
        assert len(web.asked) == n_asked
    assert web.asked[0][1]["Origin"] == client.url


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(b"1"), "its server answers no Access-Control-Allow-Origin: let it answer with {page} or \\*"),
        (
            Answer(b"1", headers={"Access-Control-Allow-Origin": "https://other.example"}),
            "answers Access-Control-Allow-Origin: https://other.example: let it answer with {page}",
        ),
        (Answer(b"1", headers={**ANY, "Content-Type": ""}), "answers no Content-Type: let it .* image/png"),
        (
            Answer(b"1", headers={**ANY, "Content-Type": "text/plain"}),
            "answers Content-Type: text/plain: let",
        ),
        (Answer(b"1", headers=ANY), "answers 1 bytes that are not those of .*: check queue.image_url_prefix"),
        (Answer(status=403), "cannot be read: HTTP 403"),
        (
            Answer(status=302, headers={"Location": "http://169.254.169.254/a.png"}),
            "cannot be read: 127.0.0.1 is on this machine or a private network",
        ),
    ],
)
def test_urls_that_would_not_load_stop_the_push(web: WebServer, answer: Answer, reason: str) -> None:
    page = "http://labels.example:8080"
    web.answers["/a.png"] = answer
    ref = ImageRef(ImageId("sha256:" + hashlib.sha256(b"2").hexdigest()), f"{web.url}/a.png")
    limits = Limits() if answer.status == 302 else PRIVATE
    with pytest.raises(LabelStudioError, match=reason.format(page=page) + ".*no task was sent"):
        UrlServing(page, web.url, None, limits).prepare([ref])


def test_urls_that_no_browser_opens_are_named(tmp_path: Path) -> None:
    ref = written(tmp_path / "a.png")
    with pytest.raises(
        FormatError, match=r"a.png is no URL that a browser can open: set queue.image_url_prefix"
    ):
        UrlServing("http://a", str(tmp_path), None, PRIVATE).url(ref)
    with pytest.raises(
        FormatError, match=r"is not below the source /elsewhere: queue.image_url_prefix has no URL"
    ):
        UrlServing("http://a", "/elsewhere", "https://b", PRIVATE).url(ref)
    with pytest.raises(
        LabelStudioError, match="browsers load nothing by http into a page that came by https"
    ):
        UrlServing("https://a", "x", None, PRIVATE).prepare([ImageRef(ref.id, "http://b/a.png")])
