"""Objects of an S3 reach the browser by URLs that Label Studio signs; what the bucket forbids is said."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from PIL import Image

from detseg.errors import FormatError, LabelStudioError
from detseg.images import image_id
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.server import EmbeddedLabelStudio
from detseg.labelstudio.serving_storage import BucketStorages, environment_credentials
from detseg.sources.protocol import Limits
from detseg.types import ImageId, ImageRef
from tests.labelstudio.scenes import TAXONOMY
from tests.sources.servers import s3_server, s3_variables
from tests.workers import first_port

NewTitle = Callable[[], str]


@dataclass(frozen=True)
class Cloud:
    """An S3 with the bucket ``parts``, and a Label Studio that has its own credentials for it."""

    client: LabelStudioClient
    s3: Any
    variables: dict[str, str]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    with s3_server(folder / "s3.log") as url:
        variables = s3_variables(url)
        server = EmbeddedLabelStudio(folder / "state", port=first_port(18180), variables=variables)
        connection = server.up()
        s3 = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        s3.create_bucket(Bucket="parts")
        try:
            with LabelStudioClient(connection.url, connection.token) as client:
                yield Cloud(client, s3, variables)
        finally:
            s3.close()
            server.down()


@pytest.fixture
def image(cloud: Cloud) -> ImageRef:
    buffer = io.BytesIO()
    Image.new("L", (20, 10), 5).save(buffer, "PNG")
    cloud.s3.put_object(Bucket="parts", Key="sub/ü #1+%.png", Body=buffer.getvalue())
    return ImageRef(image_id(buffer.getvalue()), "s3://parts/sub/ü #1+%.png")


@pytest.fixture
def project(cloud: Cloud, new_title: NewTitle) -> int:
    return ensure_project(cloud.client, new_title(), TAXONOMY)


def task_of(cloud: Cloud, project: int, ref: ImageRef, url: str) -> dict[str, Any]:
    data = {"image": url, "image_id": ref.id, "width": 20, "height": 10}
    (task,) = cloud.client.import_tasks(project, [{"data": data}])
    return cloud.client.task(task)


def test_the_page_is_sent_to_a_signed_url(cloud: Cloud, image: ImageRef, project: int) -> None:
    serving = BucketStorages(cloud.client, project, Limits(), {})
    serving.prepare([image])
    serving.prepare([image])
    again = BucketStorages(cloud.client, project, Limits(), {})
    again.prepare([image])
    assert [row["bucket"] for row in cloud.client.storages(project, "s3")] == ["parts"]
    task = task_of(cloud, project, image, again.url(image))
    again.check(task)
    signed = cloud.client.redirect(task["data"]["image"])
    assert signed is not None
    assert httpx.get(signed).content


def test_an_object_that_is_gone_and_a_bucket_without_a_row_are_said(
    cloud: Cloud, image: ImageRef, project: int
) -> None:
    serving = BucketStorages(cloud.client, project, Limits(), {})
    with pytest.raises(LabelStudioError, match="no storage of the project is for its bucket"):
        serving.check(task_of(cloud, project, image, serving.url(image)))
    serving.prepare([image])
    gone = ImageRef(image.id, "s3://parts/gone.png")
    with pytest.raises(LabelStudioError, match=r"does not load in the annotator's browser .*HTTP 40[34]"):
        serving.check(task_of(cloud, project, gone, serving.url(gone)))


def test_a_bucket_that_the_server_cannot_read_stops_the_push(cloud: Cloud, project: int) -> None:
    serving = BucketStorages(cloud.client, project, Limits(), {})
    with pytest.raises(LabelStudioError, match=r"cannot serve s3://nobodys.*Cannot find bucket.*credentials"):
        serving.prepare([ImageRef(ImageId("sha256:0"), "s3://nobodys/a.png")])


def test_a_private_endpoint_is_refused_by_the_servers_own_guard(cloud: Cloud, project: int) -> None:
    credentials = environment_credentials(cloud.variables, secrets=True)
    serving = BucketStorages(cloud.client, project, Limits(), credentials)
    with pytest.raises(LabelStudioError, match=r"cannot serve s3://parts .*reserved network address"):
        serving.prepare([ImageRef(ImageId("sha256:0"), "s3://parts/a.png")])


def test_credentials_go_along_only_when_they_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "google.json").write_text('{"key": 1}', encoding="utf-8")
    environ = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": "https://s3.example",
        "AZURE_STORAGE_ACCOUNT": "c",
        "AZURE_STORAGE_KEY": "d",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "google.json"),
    }
    place = {"region_name": "eu-central-1", "s3_endpoint": "https://s3.example"}
    assert environment_credentials(environ, secrets=False) == {"s3": place, "gcs": {}, "azure": {}}
    assert environment_credentials(environ, secrets=True) == {
        "s3": {**place, "aws_access_key_id": "a", "aws_secret_access_key": "b"},
        "gcs": {"google_application_credentials": '{"key": 1}'},
        "azure": {"account_name": "c", "account_key": "d"},
    }
    serving = BucketStorages(None, 1, Limits(), environment_credentials(environ, secrets=True))  # type: ignore[arg-type]
    assert "aws_secret" not in repr(serving)


def test_urls_as_label_studio_writes_them() -> None:
    serving = BucketStorages(None, 1, Limits(), {})  # type: ignore[arg-type]
    image = ImageId("sha256:0")
    assert serving.url(ImageRef(image, "gs://a/b/c.png")) == "gs://a/b/c.png"
    assert serving.url(ImageRef(image, "az://a/b.png")) == "azure-blob://a/b.png"
    with pytest.raises(FormatError, match=r"/a/b.png is in none of the stores that Label Studio can sign"):
        serving.url(ImageRef(image, "/a/b.png"))
    with pytest.raises(FormatError, match="cuts the name off at the question mark"):
        serving.url(ImageRef(image, "s3://a/b?.png"))
