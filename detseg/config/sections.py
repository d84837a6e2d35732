"""The sections of the settings: every option with its type, default, limits and a line about it.

A function takes the section that it needs: ``settings.model`` says what is predicted, and nothing else does.
Field descriptions are what ``detseg init`` writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from detseg.errors import FormatError
from detseg.escaping import has_controls
from detseg.files import parse_json

_MAX_PIXELS = 178_956_970  # Pillow refuses to open anything larger, whatever we say


Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Seconds or a price."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

Scale = Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)]
"""A factor that a machine can bear."""


_Slope = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
ScoreNumbers = tuple[_Slope, _Slope, Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]]
"""The numbers of ``models.score_maps.ScoreMap``."""


def plain(name: str) -> str:
    """Return a text that pages and terminals can show. Raises ValueError for any other."""
    if has_controls(name):
        raise ValueError("has control characters, which no page and no terminal shows: leave them out")
    return name


ClassName = Annotated[str, Field(min_length=1), AfterValidator(plain)]


class Section(BaseModel):
    """A group of settings: a table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _without_password(url: str | None) -> str | None:
    try:
        password = urlsplit(url).password if url and "://" in url else None
    except ValueError as error:
        raise ValueError(f"is no URL ({error})") from error
    if password is not None:
        raise ValueError("holds a password, which would stand in logs and tasks: leave it out of the URL")
    return url


class SourceSettings(Section):
    """Where images come from, and which are too large."""

    location: str = Field(
        default="images",
        description="a folder, an s3://, gs://, az:// or https:// URL, or a .csv, .jsonl or .parquet file",
    )
    max_pixels: int = Field(
        default=89_478_485, ge=1, le=_MAX_PIXELS, description="larger images are quarantined"
    )
    max_image_bytes: int = Field(
        default=256_000_000, ge=1, description="files and downloads with more bytes are quarantined"
    )
    allow_private_addresses: bool = Field(
        default=False,
        description="read http and https URLs that lead to this machine or a private network",
    )

    _no_password = field_validator("location")(_without_password)


class ModelSettings(Section):
    """What is predicted, with which models, and what is made of their answers."""

    detector: str | None = Field(
        default="sample",
        description='boxes: "sample", a folder, FILE.onnx, a name on the Hugging Face hub, results:PATH of '
        'predictions, reviews (or reviews:PROJECT) for the boxes of people, or "" for none',
    )
    segmenter: str | None = Field(
        default="sample",
        description='masks: "sample", a folder, FILE.onnx, a name on the Hugging Face hub, or "" for none',
    )
    box_threshold: float = Field(default=0.5, ge=0, le=1, description="boxes with a lower score are left out")
    mask_threshold: float = Field(
        default=0.5, ge=0, le=1, description="segments with a lower score are left out"
    )
    class_box_thresholds: dict[str, Share] = Field(
        default={}, description="lowest scores of boxes by class: {bolt = 0.3}"
    )
    class_mask_thresholds: dict[str, Share] = Field(
        default={}, description="lowest scores of masks that no box came with, by class"
    )
    score_maps: dict[str, ScoreNumbers] = Field(
        default={},
        description="by class, how scores become the chance that a region is left: {bolt = [a, b, c]} of "
        "beta calibration; thresholds are of these then",
    )
    match_iou: float = Field(
        default=0.5, gt=0, le=1, description="IoU from which a box and a mask of one label are one object"
    )
    strict: bool = Field(
        default=False, description="stop when a model has a label that no class takes, instead of counting it"
    )
    suppression: Literal["none", "class", "agnostic"] = Field(
        default="class", description="drop what is doubled: among things of one class, or of all"
    )
    suppression_method: Literal["hard", "linear", "gaussian"] = Field(
        default="hard", description="hard drops; linear and gaussian lower scores (Soft-NMS)"
    )
    suppression_iou: float = Field(
        default=0.7, ge=0, le=1, description="IoU above which the one with the lower score is doubled"
    )
    clean_opening_px: int = Field(default=0, ge=0, le=100, description="radius of masks' opening")
    clean_closing_px: int = Field(default=0, ge=0, le=100, description="radius of masks' closing")
    clean_min_hole_px: int = Field(default=0, ge=0, description="smaller holes of masks are filled")
    clean_min_speck_px: int = Field(default=0, ge=0, description="smaller pieces of masks are dropped")
    clean_min_area_px: int = Field(default=0, ge=0, description="smaller masks are dropped")
    clean_keep_thin: bool = Field(
        default=False, description="an opening leaves pieces that are longer than two of its discs"
    )
    tile_px: int = Field(
        default=0, ge=0, le=100_000, description="images larger than this are predicted in tiles; 0: never"
    )
    tile_overlap_px: int = Field(
        default=128, ge=0, le=100_000, description="overlap of the tiles: more than most objects measure"
    )
    augment_flip: bool = Field(default=False, description="predict the mirror image too and fuse both")
    augment_scales: tuple[Scale, ...] = Field(
        default=(1.0,), description="predict at these sizes and fuse the answers"
    )
    committee: tuple[str, ...] = Field(
        default=(),
        description="more detectors, by folder or hub name, whose boxes are fused with the first's",
    )
    committee_weights: tuple[Scale, ...] = Field(
        default=(), description="how much each model counts, the first one included; () for all the same"
    )
    fusion_iou: float = Field(
        default=0.55, gt=0, le=1, description="IoU from which boxes of several views or models are fused"
    )

    @field_validator(
        "class_box_thresholds",
        "class_mask_thresholds",
        "score_maps",
        "augment_scales",
        "committee",
        "committee_weights",
        mode="before",
    )
    @classmethod
    def _from_json(cls, value: object) -> object:
        """Variables and flags hold tables and lists as JSON."""
        if not isinstance(value, str):
            return value
        try:
            return parse_json(value, "it")
        except FormatError as error:
            raise ValueError(str(error)) from error

    @field_validator("detector", "segmenter", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class EngineSettings(Section):
    """What the models run on, and how."""

    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:1, mps"
    )
    mode: Literal["auto", "eager", "compile"] = Field(
        default="auto", description="auto compiles the models when there are images enough to repay it"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="auto is bfloat16 for models that keep their answers in it, on hardware made for it",
    )
    batch_size: int = Field(
        default=8, ge=1, le=1024, description="images in one forward pass of an accelerator; a CPU takes one"
    )


class RunSettings(Section):
    """How a run is cut into parts, and when it counts as failed."""

    max_quarantined_share: float = Field(
        default=0.1, ge=0, le=1, description="above this share of unusable images a run exits with code 3"
    )
    shard_size: int = Field(default=256, ge=1, le=100_000, description="images in one task run")
    task_runner: str = Field(
        default="threads",
        pattern=r"^(threads|dask(:.+)?)$",
        description="where shards are predicted: threads of one process, dask (two processes of this machine "
        "with a model each), or dask:tcp://host:port, a running Dask cluster",
    )


class LabelSettings(Section):
    """What annotators are asked for."""

    annotate: Literal["boxes", "masks", "both", "pairs"] = Field(
        default="both",
        description="what annotators are asked for; both is one shape for each thing, its mask or else its "
        "box; pairs are a box and a mask, each for itself",
    )
    mask_as: Literal["auto", "brush", "bitmask", "polygon"] = Field(
        default="auto",
        description="what masks are drawn as; auto is brush, and polygons where a page has too many",
    )
    polygon_tolerance_px: float = Field(
        default=1.0, ge=0, le=100, description="how far polygons may leave the outline of a mask"
    )
    max_masks: int = Field(default=50, ge=0, description="masks in a task from which auto draws polygons")
    max_bytes: int = Field(
        default=2_000_000, ge=0, description="bytes of a task's masks from which auto saves some"
    )


class QueueSettings(Section):
    """The project in Label Studio, and how images get there."""

    project: str = Field(
        default="detseg", min_length=1, max_length=50, description="title of the Label Studio project"
    )
    predictions: Literal["add", "replace"] = Field(
        default="add", description="a second model's predictions stand beside the first's, or in their place"
    )
    predict_reviewed: bool = Field(
        default=False,
        description="a second model's predictions also go to tasks that need no more people",
    )
    restore: bool = Field(default=False, description="make tasks again that were deleted in Label Studio")
    remove_duplicates: Literal["few", "all", "none"] = Field(
        default="few",
        description="which tasks and predictions of ours that Label Studio has twice are removed; few are at "
        "most 100, or a tenth of the project's tasks: of more, none is removed, and the run says so",
    )
    near_duplicates: Literal["keep", "once"] = Field(
        default="keep",
        description="nearly equal images become a task each, or one of them does and the others wait",
    )
    overlap: int = Field(default=1, ge=1, le=100, description="people who annotate each image")
    serve_images: Literal["local-files", "upload", "url", "storage"] = Field(
        default="local-files",
        description="how images reach the browser: the server reads the files or gets copies of them, the "
        "browser asks their own URLs, or the server signs URLs of S3, Google Cloud or Azure",
    )
    image_url_prefix: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description='with serve_images = "url": the URL under which a web server has the source\'s files',
    )
    storage_credentials: Literal["server", "environment"] = Field(
        default="server",
        description='with serve_images = "storage": the server has its own, or is given those of AWS_*, '
        "GOOGLE_APPLICATION_CREDENTIALS and AZURE_STORAGE_* here",
    )

    _no_password = field_validator("image_url_prefix")(_without_password)


class LabelStudioSettings(Section):
    """The Label Studio server, and how much it is asked at once."""

    url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="a Label Studio of your own; without it, the one that `detseg up` starts",
    )
    token: SecretStr | None = Field(
        default=None, description="its token; set DETSEG_LABEL_STUDIO__TOKEN rather than writing it here"
    )
    token_file: Path | None = Field(
        default=None, description="a file with the token alone, for you alone to read (chmod 600)"
    )
    token_block: str | None = Field(
        default=None,
        description="a Secret block of Prefect with the token, for flows on other machines; all who may "
        "sign in to that Prefect can read it",
    )
    writers: int = Field(
        default=1,
        ge=1,
        le=32,
        description="imports at once: 1 where the server is on SQLite, 2 on PostgreSQL",
    )
    batch_tasks: int = Field(default=1000, ge=1, le=10_000, description="most tasks in an import")
    batch_bytes: int = Field(
        default=8_000_000, ge=10_000, le=200_000_000, description="most bytes in an import"
    )
    shared_writers: int = Field(
        default=0,
        ge=0,
        description="most imports at once of all workers of a Prefect server together; 0: no limit",
    )
    imports_per_minute: int = Field(
        default=0, ge=0, description="most imports a minute of all workers together; 0: no limit"
    )
    patience_s: float = Field(
        default=20.0, ge=0, description="seconds until a request without an answer is believed lost"
    )
    files: Path | None = Field(
        default=None,
        description="its local files document root, as seen from here; images are placed below it",
    )
    hooks: bool = Field(
        default=False,
        description="let the embedded server call programs on this machine, which `detseg hook --register` "
        "needs; switches its SSRF protection off, at its next start",
    )
    hook_secret: SecretStr | None = Field(
        default=None,
        description="what a webhook's header X-Detseg-Secret carries; set DETSEG_LABEL_STUDIO__HOOK_SECRET",
    )

    _no_password = field_validator("url")(_without_password)

    @property
    def token_is_in_block(self) -> bool:
        """Whether the token is to be had from Prefect alone."""
        return self.token_block is not None and self.token is None and self.token_file is None


class ExperimentSettings(Section):
    """Tasks that measure people and help."""

    control_share: float = Field(
        default=0.05, ge=0, le=1, description="share of new tasks without predictions: control images"
    )
    decoy_share: float = Field(default=0.0, ge=0, le=1, description="share of new tasks with a wrong region")
    gold: Path | None = Field(
        default=None, description="a COCO JSON file with the truth of some of the source's images"
    )
    gold_share: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="share of new tasks on gold images (of `gold`, or imported), which wait for that",
    )
    seed: int = Field(default=0, description="decides which images get which kind of task")

    @field_validator("decoy_share")
    @classmethod
    def _fits_the_others(cls, share: float, info: ValidationInfo) -> float:
        if share + info.data.get("control_share", 0.0) > 1:
            raise ValueError("with control_share it is more than 1")
        return share


class CostSettings(Section):
    """What work by hand costs, for the estimate of what is saved."""

    box_by_hand_s: Cost = Field(
        default=35.0, description="seconds to draw a box by hand (Papadopoulos et al., ICCV 2017)"
    )
    mask_by_hand_s: Cost = Field(
        default=80.0, description="seconds to draw a mask by hand (COCO's, by arXiv 2212.07911)"
    )
    check_s: Cost = Field(
        default=7.0, description="seconds to check a region (Papadopoulos et al., ICCV 2017, at most)"
    )
    box_price: Cost = Field(
        default=0.063, description="price of a box, in any currency (Google's data labeling, in $)"
    )
    mask_price: Cost = Field(
        default=0.87, description="price of a mask, in any currency (Google's data labeling, in $)"
    )
