"""All settings of a run, in sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationInfo, field_validator

from detseg.config.classes import ClassSettings, TaxonomySettings
from detseg.config.sections import (
    CostSettings,
    EngineSettings,
    ExperimentSettings,
    LabelSettings,
    LabelStudioSettings,
    ModelSettings,
    QueueSettings,
    RunSettings,
    Section,
    SourceSettings,
)
from detseg.config.training import JudgementSettings, RetrainSettings, TrainingSettings
from detseg.errors import ConfigError
from detseg.taxonomy import Change, LabelClass, Relabeling, Taxonomy, distinct_colour, relabeling_of


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """The way to Label Studio: an address and a token, or the state folder of the embedded server."""

    url: str | None
    """None for the embedded server"""
    token: SecretStr | None
    token_file: Path | None
    """an absolute path"""
    state_path: Path
    token_is_in_block: bool = False
    """whether the token is to be had from Prefect alone"""


class Settings(BaseModel):
    """All settings of a run, in sections: ``settings.model.box_threshold``. Frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Path = Field(default=Path("."), description="folder that relative paths start from", exclude=True)
    state_dir: Path = Field(default=Path(".detseg"), description="where catalog, servers and logs live")
    catalog: str | None = Field(
        default=None, description="SQLAlchemy URL; without it, SQLite in the state folder"
    )
    datasets: str | None = Field(
        default=None,
        description="where dataset versions are kept, a folder or an s3://, gs:// or az:// URL; without it, "
        "in the state folder",
    )
    source: SourceSettings = SourceSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    run: RunSettings = RunSettings()
    labels: LabelSettings = LabelSettings()
    queue: QueueSettings = QueueSettings()
    label_studio: LabelStudioSettings = LabelStudioSettings()
    experiments: ExperimentSettings = ExperimentSettings()
    costs: CostSettings = CostSettings()
    training: TrainingSettings = TrainingSettings()
    judgement: JudgementSettings = JudgementSettings()
    retrain: RetrainSettings = RetrainSettings()
    classes: tuple[ClassSettings, ...] = ()
    taxonomy: TaxonomySettings = TaxonomySettings()
    _given: frozenset[str] = PrivateAttr(default=frozenset())

    @field_validator("state_dir")
    @classmethod
    def _holds_nothing_else(cls, folder: Path, info: ValidationInfo) -> Path:
        root = info.data["root"].absolute()
        if root.resolve().is_relative_to((root / folder.expanduser()).resolve()):
            raise ValueError("is a folder of its own, which is made private: write .detseg, for instance")
        return folder

    def __eq__(self, other: object) -> bool:
        """Compare the values, wherever they were given."""
        return isinstance(other, Settings) and self.__dict__ == other.__dict__

    def updated(self, **changes: object) -> Settings:
        """Return the settings with other values in some places: ``settings.updated(queue__restore=True)``.

        A keyword names an option as ``section__option``. Raises pydantic's ValidationError for a value that
        may not be.
        """
        return self._validated(changes).as_given(changes)

    def as_given(self, names: Iterable[str]) -> Settings:
        """Return the same settings, of which these options were given by a variable, a flag or a program.

        Such ones go over a promoted model, as ``is_given`` tells; those of the file do not.
        """
        given = self.model_copy()
        given._given = self._given | {name for name in names if "__" in name}
        return given

    def is_given(self, name: str) -> bool:
        """Tell whether an option, as ``section__option``, was given beside the file."""
        return name in self._given

    def _validated(self, changes: Mapping[str, object]) -> Settings:
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        for name, value in changes.items():
            section, _, option = name.partition("__")
            values[section] = values[section].model_copy(update={option: value}) if option else value
        made = Settings.model_validate({name: _dumped(value) for name, value in values.items()})
        return made.as_given(self._given)

    def path(self, value: str | Path) -> Path:
        """A path of the settings as an absolute one."""
        return (self.root / Path(value).expanduser()).absolute()

    @property
    def state_path(self) -> Path:
        return self.path(self.state_dir)

    @property
    def server(self) -> ServerAccess:
        """Return the way to Label Studio."""
        given = self.label_studio
        token_file = self.path(given.token_file) if given.token_file else None
        return ServerAccess(given.url, given.token, token_file, self.state_path, given.token_is_in_block)

    @property
    def catalog_url(self) -> str:
        return self.catalog or f"sqlite:///{self.state_path / 'catalog.sqlite3'}"

    @property
    def datasets_location(self) -> str:
        """Return where dataset versions are kept, as an absolute path or a URL."""
        if self.datasets is not None and "://" in self.datasets:
            return self.datasets
        return str(self.path(self.datasets) if self.datasets else self.state_path / "datasets")

    @property
    def gold_file(self) -> Path | None:
        """The file of gold images as an absolute path; None where it has none, or none are wanted."""
        wanted = self.experiments
        return self.path(wanted.gold) if wanted.gold is not None and wanted.gold_share else None

    @property
    def models_path(self) -> Path:
        """The folder of the checkpoints of retraining."""
        return self.path(self.retrain.folder) if self.retrain.folder else self.state_path / "models"

    @property
    def declared_taxonomy(self) -> Taxonomy | None:
        """The classes of the settings; None where the model's own labels are to be taken."""
        return to_taxonomy(self.classes, self.taxonomy)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of the classes, the oldest first."""
        return tuple(one.to_change() for one in self.taxonomy.changes)

    @property
    def relabeling(self) -> Relabeling:
        """The way to read labels of all times in the classes of now. Raises ConfigError."""
        return relabeling_of(self.changes, [LabelClass(one.name, one.kind) for one in self.classes])


def _dumped(value: object) -> object:
    """A section as its values, so that they are looked at again."""
    return dict(value) if isinstance(value, Section) else value


def to_taxonomy(classes: Sequence[ClassSettings], history: TaxonomySettings) -> Taxonomy | None:
    """The classes as a taxonomy; None where there are none, and the model's own labels are to be taken.

    Names that a class had, or that were merged into it, are aliases of it: models go on using them. Raises
    ConfigError for changes that do not lead to the classes.
    """
    changes = tuple(one.to_change() for one in history.changes)
    if not classes and changes:
        raise ConfigError("[[taxonomy.changes]] need the classes that they lead to: declare [[classes]]")
    if not classes:
        return None
    own = tuple(
        LabelClass(**{**dict(entry), "colour": entry.colour or distinct_colour(i)})
        for i, entry in enumerate(classes)
    )
    names = relabeling_of(changes, own).names
    return Taxonomy(
        tuple(
            replace(cls, aliases=tuple(dict.fromkeys((*cls.aliases, *_names_of(cls.name, names)))))
            for cls in own
        )
    )


def _names_of(name: str, names: Mapping[str, str | None]) -> tuple[str, ...]:
    return tuple(old for old, now in names.items() if now == name)
