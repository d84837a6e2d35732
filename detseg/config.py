"""Settings: ``detseg.toml``, ``DETSEG_*`` variables over it, flags over both; read once, at the edge.

Relative paths are relative to the folder of ``detseg.toml`` (the working directory where there is none).
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from detseg.errors import ConfigError
from detseg.taxonomy import LabelClass, Taxonomy, distinct_colour

FILE_NAME = "detseg.toml"
ENV_PREFIX = "DETSEG_"
_NO_SETTINGS = ("label_studio_bin", "failpoint")  # variables of the installation and of the tests
_MAX_PIXELS = 178_956_970  # Pillow refuses to open anything larger, whatever we say


Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Seconds or a price."""


class ClassSettings(BaseModel):
    """One entry of ``[[classes]]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    kind: Literal["thing", "stuff"] = "thing"
    colour: str | None = Field(default=None, pattern=r"^#[0-9a-fA-F]{6}$")
    aliases: tuple[str, ...] = ()


class Settings(BaseModel):
    """Everything that a run can be told. Field descriptions are what ``detseg init`` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path = Field(default=Path("."), description="folder that relative paths start from", exclude=True)
    source: str = Field(
        default="images",
        description="a folder, an s3://, gs://, az:// or https:// URL, or a .csv, .jsonl or .parquet file",
    )
    detector: str | None = Field(
        default="sample",
        description='boxes: "sample", a folder, a name on the Hugging Face hub, or "" for none',
    )
    segmenter: str | None = Field(
        default="sample",
        description='masks: "sample", a folder, a name on the Hugging Face hub, or "" for none',
    )
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:1, mps"
    )
    engine: Literal["auto", "eager", "compile"] = Field(
        default="auto", description="auto compiles the models when there are images enough to repay it"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="auto is bfloat16 for models that keep their answers in it, on hardware made for it",
    )
    batch_size: int = Field(
        default=8, ge=1, le=1024, description="images in one forward pass of an accelerator; a CPU takes one"
    )
    box_threshold: float = Field(default=0.5, ge=0, le=1, description="boxes with a lower score are left out")
    mask_threshold: float = Field(
        default=0.5, ge=0, le=1, description="segments with a lower score are left out"
    )
    class_box_thresholds: dict[str, float] = Field(
        default={}, description="lowest scores of boxes by class: {bolt = 0.3}"
    )
    class_mask_thresholds: dict[str, float] = Field(
        default={}, description="lowest scores of masks that no box came with, by class"
    )
    match_iou: float = Field(
        default=0.5, gt=0, le=1, description="IoU from which a box and a mask of one label are one object"
    )
    strict: bool = Field(
        default=False, description="stop when a model has a label that no class takes, instead of counting it"
    )
    suppression: Literal["none", "class", "agnostic"] = Field(
        default="none", description="drop what is doubled: among things of one class, or of all"
    )
    suppression_method: Literal["hard", "linear", "gaussian"] = Field(
        default="hard", description="hard drops; linear and gaussian lower scores (Soft-NMS)"
    )
    suppression_iou: float = Field(
        default=0.5, ge=0, le=1, description="IoU above which the one with the lower score is doubled"
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
    augment_scales: tuple[float, ...] = Field(
        default=(1.0,), description="predict at these sizes and fuse the answers"
    )
    committee: tuple[str, ...] = Field(
        default=(),
        description="more detectors, by folder or hub name, whose boxes are fused with the first's",
    )
    committee_weights: tuple[float, ...] = Field(
        default=(), description="how much each model counts, the first one included; () for all the same"
    )
    fusion_iou: float = Field(
        default=0.55, gt=0, le=1, description="IoU from which boxes of several views or models are fused"
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
    max_quarantined_share: float = Field(
        default=0.1, ge=0, le=1, description="above this share of unusable images a run exits with code 3"
    )
    shard_size: int = Field(default=256, ge=1, le=100_000, description="images in one task run")
    project: str = Field(
        default="detseg", min_length=1, max_length=50, description="title of the Label Studio project"
    )
    label_studio_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="a Label Studio of your own; without it, the one that `detseg up` starts",
    )
    label_studio_token: SecretStr | None = Field(
        default=None, description="its token; set DETSEG_LABEL_STUDIO_TOKEN rather than writing it here"
    )
    label_studio_token_file: Path | None = Field(
        default=None, description="a file with the token alone, for you alone to read (chmod 600)"
    )
    label_studio_token_block: str | None = Field(
        default=None, description="a Secret block of Prefect with the token, for flows on other machines"
    )
    label_studio_writers: int = Field(
        default=1,
        ge=1,
        le=32,
        description="imports at once: 1 where the server is on SQLite, 2 on PostgreSQL",
    )
    label_studio_batch_tasks: int = Field(
        default=1000, ge=1, le=10_000, description="most tasks in an import"
    )
    label_studio_batch_bytes: int = Field(
        default=8_000_000, ge=10_000, le=200_000_000, description="most bytes in an import"
    )
    label_studio_shared_writers: int = Field(
        default=0,
        ge=0,
        description="most imports at once of all workers of a Prefect server together; 0: no limit",
    )
    label_studio_imports_per_minute: int = Field(
        default=0, ge=0, description="most imports a minute of all workers together; 0: no limit"
    )
    label_studio_patience_s: float = Field(
        default=20.0, ge=0, description="seconds until a request without an answer is believed lost"
    )
    annotate: Literal["boxes", "masks", "both"] = Field(
        default="both", description="what annotators are asked for"
    )
    mask_as: Literal["auto", "brush", "bitmask", "polygon"] = Field(
        default="auto",
        description="what masks are drawn as; auto is brush, and polygons where a page has too many",
    )
    polygon_tolerance_px: float = Field(
        default=1.0, ge=0, le=100, description="how far polygons may leave the outline of a mask"
    )
    task_max_masks: int = Field(
        default=50, ge=0, description="masks in a task from which auto draws polygons"
    )
    task_max_bytes: int = Field(
        default=2_000_000, ge=0, description="bytes of a task's masks from which auto saves some"
    )
    predictions: Literal["add", "replace"] = Field(
        default="add", description="a second model's predictions stand beside the first's, or in their place"
    )
    restore: bool = Field(default=False, description="make tasks again that were deleted in Label Studio")
    blind_share: float = Field(default=0.05, ge=0, le=1, description="share of new tasks without predictions")
    decoy_share: float = Field(default=0.0, ge=0, le=1, description="share of new tasks with a wrong region")
    gold: Path | None = Field(
        default=None, description="a COCO JSON file with the truth of some of the source's images"
    )
    gold_share: float = Field(
        default=0.0, ge=0, le=0.5, description="share of new tasks on images of `gold`, which wait for that"
    )
    overlap: int = Field(default=1, ge=1, le=100, description="people who annotate each image")
    experiment_seed: int = Field(default=0, description="decides which images get which kind of task")
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
    label_studio_files: Path | None = Field(
        default=None,
        description="its local files document root, as seen from here; the source must lie below it",
    )
    label_studio_hooks: bool = Field(
        default=False,
        description="let the embedded server call programs on this machine, which `detseg hook --register` "
        "needs; switches its SSRF protection off, at its next start",
    )
    hook_secret: SecretStr | None = Field(
        default=None, description="what a webhook's header X-Detseg-Secret carries; set DETSEG_HOOK_SECRET"
    )
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
    catalog: str | None = Field(
        default=None, description="SQLAlchemy URL; without it, SQLite in the state folder"
    )
    state_dir: Path = Field(default=Path(".detseg"), description="where catalog, servers and logs live")
    classes: tuple[ClassSettings, ...] = ()

    @field_validator(
        "class_box_thresholds",
        "class_mask_thresholds",
        "augment_scales",
        "committee",
        "committee_weights",
        mode="before",
    )
    @classmethod
    def _from_json(cls, value: object) -> object:
        """Variables and flags hold tables and lists as JSON."""
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("detector", "segmenter", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("decoy_share", "gold_share")
    @classmethod
    def _fits_the_others(cls, share: float, info: ValidationInfo) -> float:
        if info.field_name == "decoy_share" and share + info.data.get("blind_share", 0.0) > 1:
            raise ValueError("with blind_share it is more than 1")
        if info.field_name == "gold_share" and share and info.data.get("gold") is None:
            raise ValueError("needs `gold`, the file with the truth of these images")
        return share

    def path(self, value: str | Path) -> Path:
        """A path of the settings as an absolute one."""
        return (self.root / Path(value).expanduser()).absolute()

    @property
    def state_path(self) -> Path:
        return self.path(self.state_dir)

    @property
    def catalog_url(self) -> str:
        return self.catalog or f"sqlite:///{self.state_path / 'catalog.sqlite3'}"

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The classes of the settings; None where the model's own labels are to be taken."""
        if not self.classes:
            return None
        return Taxonomy(
            tuple(
                LabelClass(entry.name, entry.kind, entry.colour or distinct_colour(i), entry.aliases)
                for i, entry in enumerate(self.classes)
            )
        )


def load_settings(
    config: Path | None = None, *, environ: Mapping[str, str] | None = None, **flags: Any
) -> Settings:
    """The settings of a run: the file, then ``DETSEG_*`` variables, then flags (None means not given).

    Raises ConfigError that names the file, variable or flag and what it may be.
    """
    file = config or Path(FILE_NAME)
    variables = os.environ if environ is None else environ
    origins: dict[str, str] = {}
    values: dict[str, Any] = {}
    from_env = {
        name: value
        for key, value in variables.items()
        if key.startswith(ENV_PREFIX) and (name := key.removeprefix(ENV_PREFIX).lower()) not in _NO_SETTINGS
    }
    for origin, layer in (
        (str(file), _read_toml(file, required=config is not None)),
        ("the environment", from_env),
        ("the flags", {name: value for name, value in flags.items() if value is not None}),
    ):
        values.update(layer)
        origins.update(dict.fromkeys(layer, origin))
    values["root"] = file.absolute().parent
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, origins)) from error


def _read_toml(file: Path, *, required: bool) -> dict[str, Any]:
    if not required and not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}): `detseg init` writes a new one") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error


def _first_problem(error: ValidationError, origins: Mapping[str, str]) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in problem["loc"])
    top = str(problem["loc"][0]) if problem["loc"] else ""
    where = origins.get(top, "the settings")
    if problem["type"] == "extra_forbidden":
        known = [*Settings.model_fields, *ClassSettings.model_fields]
        near = get_close_matches(str(problem["loc"][-1]), known, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        return f"{where}: there is no setting {name!r}{meant}; `detseg init all.toml` writes a file with all"
    more = f" ({error.error_count() - 1} more after it)" if error.error_count() > 1 else ""
    return f"{where}: {name}: {problem['msg'].removeprefix('Value error, ')}{more}"


def settings_template(**values: object) -> str:
    """The commented ``detseg.toml`` that ``detseg init`` writes: every setting with its default, or given."""
    lines = ["# Settings of detseg. DETSEG_* variables go over this file, flags over both.", ""]
    for name, field in Settings.model_fields.items():
        if name in ("root", "classes"):
            continue
        value = values.get(name, field.default)
        comment = "# " if value is None else ""
        lines += [f"# {field.description}", f"{comment}{name} = {_to_toml(value)}".rstrip(), ""]
    lines += [
        "# What annotators are asked for. Without any [[classes]], the models' own labels are taken.",
        "# [[classes]]",
        '# name = "bolt"',
        '# kind = "thing"            # "stuff" for what cannot be counted',
        '# colour = "#d1495b"',
        '# aliases = ["screw"]       # other names that a model uses for it',
        "",
    ]
    return "\n".join(lines)


def _to_toml(value: object) -> str:
    if value is None:
        return ""
    plain = isinstance(value, bool | int | float | tuple | dict)
    return json.dumps(value if plain else str(value))
