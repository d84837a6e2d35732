"""Images in S3, Google Cloud Storage and Azure, to which Label Studio sends the browser with signed URLs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detseg.errors import FormatError, ImageError, LabelStudioError
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.serving import check_bytes
from detseg.labelstudio.serving_url import fetch_as_page
from detseg.labelstudio.session import Json
from detseg.sources.guarded import web_client
from detseg.sources.protocol import Limits
from detseg.sources.registry import scheme_of
from detseg.types import ImageRef


@dataclass(frozen=True, slots=True)
class _Kind:
    """Label Studio's word for a store in its API, for its URLs, and for what holds objects there."""

    api: str
    scheme: str
    bucket: str


_S3 = _Kind("s3", "s3", "bucket")
_GCS = _Kind("gcs", "gs", "bucket")
_AZURE = _Kind("azure", "azure-blob", "container")
_KINDS = {"s3": _S3, "gs": _GCS, "gcs": _GCS, "az": _AZURE, "abfs": _AZURE, "abfss": _AZURE}

_SIGNED_FOR_MIN = 15
_MEND = (
    "the storage in the project's settings must be able to read the bucket, and the bucket's CORS rules must "
    "allow GET from Label Studio's address"
)


_PUBLIC = (
    ("s3", "region_name", "AWS_REGION", "AWS_DEFAULT_REGION"),
    ("s3", "s3_endpoint", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
)
_SECRET = (
    ("s3", "aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("s3", "aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("s3", "aws_session_token", "AWS_SESSION_TOKEN"),
    ("azure", "account_name", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"),
    ("azure", "account_key", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"),
)
"""Kind and field of a storage row, and the variables that hold its value, first found."""


@dataclass(slots=True)
class BucketStorages:
    """Tasks hold the objects' own URLs; a storage row per bucket lets Label Studio sign them.

    ``credentials`` are fields of such a row by kind (``s3``, ``gcs``, ``azure``); without any, the server
    uses its own. They are sent to Label Studio and kept there. Remembers the buckets that are ready.
    """

    client: LabelStudioClient
    project: int
    limits: Limits
    credentials: Mapping[str, Mapping[str, str]] = field(repr=False)
    _ready: set[tuple[_Kind, str]] = field(default_factory=set, repr=False)

    def prepare(self, refs: Iterable[ImageRef]) -> None:
        """Adds a storage row for the buckets that no row of the project is for."""
        wanted = dict.fromkeys(_bucket(ref) for ref in refs if scheme_of(ref.uri) in _KINDS)
        for kind, bucket in wanted:
            if (kind, bucket) in self._ready:
                continue
            rows = self.client.storages(self.project, kind.api)
            if bucket not in {row.get(kind.bucket) for row in rows}:
                self._add(kind, bucket)
            self._ready.add((kind, bucket))

    def renew(self, refs: Iterable[ImageRef]) -> None:
        """Nothing: the images are where they were."""

    def url(self, ref: ImageRef) -> str:
        """The object's URL as Label Studio writes it."""
        return object_url(ref)

    def check(self, task: Json) -> None:
        """Lets Label Studio sign the image's URL and fetches it as the page would."""
        check_bytes(task, lambda: self._fetch(str(task["data"]["image"])), mend=_MEND)

    def _fetch(self, url: str) -> bytes:
        if not url.startswith("/"):
            raise ImageError("no storage of the project is for its bucket")
        signed = self.client.redirect(url)
        if signed is None:  # the storage was told to pass images through instead of signing URLs
            return self.client.fetch(url)
        with web_client(Limits(self.limits.max_bytes, allow_private=True)) as http:  # the server chose it
            return fetch_as_page(http, signed, self.client.url, self.limits)

    def _add(self, kind: _Kind, bucket: str) -> None:
        row: dict[str, Any] = {
            "project": self.project,
            "title": f"{kind.scheme}://{bucket}",
            kind.bucket: bucket,
            "presign": True,
            "presign_ttl": _SIGNED_FOR_MIN,
            "use_blob_urls": True,
            **self.credentials.get(kind.api, {}),
        }
        try:
            self.client.create_storage(kind.api, row)
        except LabelStudioError as error:
            raise LabelStudioError(
                f"Label Studio cannot serve {kind.scheme}://{bucket} ({error}): give the server "
                'credentials that may read it, or set queue.storage_credentials to "environment" to send '
                "it those of this machine"
            ) from error


def object_url(ref: ImageRef) -> str:
    """The URL of an object as Label Studio writes it. Raises FormatError for one that it cannot sign."""
    if scheme_of(ref.uri) not in _KINDS:
        raise FormatError(
            f"{ref.uri} is in none of the stores that Label Studio can sign URLs for (s3, gs, az): "
            "choose another queue.serve_images"
        )
    kind, bucket = _bucket(ref)
    key = ref.uri.partition("://")[2].partition("/")[2]
    if "?" in key:
        raise FormatError(f"{ref.uri}: Label Studio cuts the name off at the question mark: rename it")
    return f"{kind.scheme}://{bucket}/{key}"


def environment_credentials(environ: Mapping[str, str], *, secrets: bool) -> dict[str, dict[str, str]]:
    """Fields of storage rows by kind, from the variables that each cloud's own tools read.

    Without ``secrets`` only where a store is, not how to get in. Raises OSError for Google's file of
    credentials that cannot be read.
    """
    found: dict[str, dict[str, str]] = {"s3": {}, "gcs": {}, "azure": {}}
    for kind, field_name, *variables in _PUBLIC + (_SECRET if secrets else ()):
        value = next((environ[variable] for variable in variables if environ.get(variable)), None)
        if value is not None:
            found[kind][field_name] = value
    if secrets and (file := environ.get("GOOGLE_APPLICATION_CREDENTIALS")):
        found["gcs"]["google_application_credentials"] = Path(file).read_text(encoding="utf-8")
    return found


def _bucket(ref: ImageRef) -> tuple[_Kind, str]:
    return _KINDS[scheme_of(ref.uri)], ref.uri.partition("://")[2].partition("/")[0]
