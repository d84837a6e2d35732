"""The use cases of ``detseg models``: promote, roll back, remove."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.errors import CatalogError, ConfigError, ModelError
from detseg.files import read_json
from detseg.pipeline.choosing import require_unchanged
from detseg.pipeline.registry import CARD, PRESENT, checkpoint_digest, checkpoint_files
from detseg.pipeline.rounds import MODELS, Round, open_round
from detseg.pipeline.workspace import opened_catalog
from detseg.training.plan import RESULT

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Promotion, PromotionKind, RegisteredModel
    from detseg.config import Settings
    from detseg.metrics.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement as a promotion needs it. ``entry`` is what ``detseg models compare --json`` prints.

    Thresholds and maps of scores are those that were chosen for the candidate before it was judged; what
    nobody chose is as the settings say.
    """

    better: bool | None
    entry: dict[str, Any]
    box_thresholds: Mapping[str, float] = field(default_factory=dict)
    mask_thresholds: Mapping[str, float] = field(default_factory=dict)
    score_maps: Mapping[str, Sequence[float]] = field(default_factory=dict)


Judge = Callable[["Settings", "RegisteredModel"], Verdict]
"""Judges a candidate beside the present model."""

_BY_FORCE = Verdict(None, {})


def judging_by(dataset: str | None, note: Callable[[str], None]) -> Judge:
    """Judge on the split test of a dataset version; None is the one that the candidate learned from."""

    def judge(settings: Settings, model: RegisteredModel) -> Verdict:
        from detseg.pipeline.judging import judge

        found = judge(settings, PRESENT, model.name, dataset or model.dataset_id, warn=note)
        chosen = found.tuned.tuned_settings() if found.tuned else {}
        return Verdict(found.judgement.better, found.to_json(), **chosen)

    return judge


@dataclass(frozen=True, slots=True)
class Promoted:
    """The outcome of a promotion. ``promotion`` is the present entry of the log, None where there is none.

    ``is_present`` tells whether the model pre-annotates from now on, ``is_new`` whether it did not before, or
    with other thresholds; ``judgement`` is that of this call, None where nobody was asked: by force, or
    because the model was promoted before.
    """

    model: RegisteredModel
    is_present: bool
    promotion: Promotion | None
    judgement: dict[str, Any] | None = None
    is_new: bool = False

    def to_json(self) -> dict[str, Any]:
        promotion = self.promotion if self.is_present else None
        return {
            "model": self.model.name,
            "promoted": self.is_present,
            "changed": self.is_new,
            "kind": promotion.kind if promotion else None,
            "at": promotion.at.isoformat() if promotion else None,
            "judgement": self.judgement,
            "reasons": [] if self.is_present else list(self.reasons),
        }

    @property
    def reasons(self) -> Sequence[str]:
        """Why it was not promoted, in lines for people."""
        reasons: Sequence[str] = (self.judgement or {}).get("missing", ())
        return reasons


def find_any(catalog: Catalog, name: str) -> RegisteredModel:
    """The model of that name, also a removed one. ConfigError for none."""
    model = catalog.models.get(name)
    if model is None:
        known = ", ".join(one.name for one in catalog.models.all()) or "there is none yet"
        raise ConfigError(f"no model is called {name!r} ({known}): `detseg train` registers what it makes")
    return model


def find_model(catalog: Catalog, name: str) -> RegisteredModel:
    """The model of that name. ConfigError for none, and for one that was removed."""
    model = find_any(catalog, name)
    if model.removed_at is not None:
        raise ConfigError(
            f"the model {name} was removed on {model.removed_at:%Y-%m-%d}: the `detseg train` that made it "
            "registers it again"
        )
    return model


def promote(settings: Settings, name: str, judge: Judge | None) -> Promoted:
    """Make a model that of ``detseg preannotate``, if the judgement says that it is better.

    It gets the thresholds and maps of scores that it was judged with, over those of the settings.
    ``judge`` is None where it is to be promoted by force, with those of the settings alone. One that is
    promoted already is not judged again. Raises ConfigError for a name that is none, ModelError for files
    that are not those that were registered, CatalogError where another model was promoted or this one removed
    while it was judged.
    """
    with opened_catalog(settings) as catalog:
        model = find_model(catalog, name)
        require_unchanged(catalog, model, mend="train it anew")
        present = catalog.promotions.present()
    if judge is not None and present is not None and present.model == model.name:
        return Promoted(model, is_present=True, promotion=present)
    verdict = judge(settings, model) if judge else _BY_FORCE
    judgement = verdict.entry if judge else None
    if judge and verdict.better is not True:
        return Promoted(model, is_present=False, promotion=present, judgement=judgement)
    kind: PromotionKind = "promoted" if judge else "forced"
    with opened_catalog(settings) as catalog:
        promotion = catalog.promotions.promote(
            model.name,
            kind,
            after=None if judge is None else present.number if present else 0,
            judgement=judgement,
            box_thresholds=verdict.box_thresholds,
            mask_thresholds=verdict.mask_thresholds,
            score_maps=verdict.score_maps,
        )
    return Promoted(
        model, is_present=True, promotion=promotion, judgement=judgement, is_new=promotion != present
    )


@dataclass(frozen=True, slots=True)
class Applied:
    """What reviews say of a promoted model's thresholds. ``promotion`` is the new entry of the log.

    It is None where nothing was changed: no model is promoted, no threshold saves more seconds for certain
    than those in use, or it has these already. ``model`` is None where none is promoted.
    """

    model: str | None
    thresholds: Mapping[str, float]
    n_reviews: int
    n_set_aside: int
    promotion: Promotion | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "changed": self.promotion is not None,
            "thresholds": dict(self.thresholds),
            "reviews": {"used": self.n_reviews, "set_aside": self.n_set_aside},
        }


def apply_thresholds(catalog: Catalog, found: Thresholds, model_name: str | None) -> Applied:
    """Give the promoted model the lowest scores by class that save seconds for certain.

    They follow from reviews of its own regions; a rollback takes them back. ``model_name`` is the promoted
    model that they were measured of, None for none. CatalogError where another one was promoted since.
    """
    chosen = {label: one.threshold for label, one in found.per_class.items() if one.pays}
    applied = Applied(model_name, chosen, found.n_reviews, found.n_set_aside)
    if model_name is None or not chosen:
        return applied
    present = catalog.promotions.present()
    if present is None or present.model != model_name:
        now = (present.model if present else None) or "that of the settings"
        raise CatalogError(
            f"the present model has become {now} meanwhile, and these thresholds are those of "
            f"{model_name}: nothing was changed; run it again"
        )
    boxes, masks = dict(present.box_thresholds), dict(present.mask_thresholds)
    (masks if find_any(catalog, model_name).answers == "masks" else boxes).update(chosen)
    promotion = catalog.promotions.promote(
        model_name,
        "forced" if present.judgement is None else "promoted",  # also after a rollback to it
        after=present.number,
        judgement=present.judgement,
        box_thresholds=boxes,
        mask_thresholds=masks,
        score_maps=present.score_maps,
    )
    return applied if promotion == present else replace(applied, promotion=promotion)


def roll_back(settings: Settings) -> Promotion:
    """Go back to the promotion before the present one, or to the models of the settings.

    Raises ConfigError where nothing is promoted, ModelError where the files to go back to are gone or others,
    CatalogError where another model was promoted while these were looked at.
    """
    with opened_catalog(settings) as catalog:
        number = catalog.promotions.last_number()
        before = catalog.promotions.before()
        if before and before.model and (model := catalog.models.get(before.model)):
            require_unchanged(catalog, model, mend=f"pass over it after `detseg models rm {model.name}`")
        promotion = catalog.promotions.roll_back(after=number)
    if promotion is None:
        raise ConfigError("no model is promoted, so there is none to go back from: `detseg models list`")
    return promotion


def remove(settings: Settings, name: str, *, files: bool = False) -> tuple[Path, ...]:
    """Take a model out of the list, and with ``files`` delete its checkpoint; the files that were deleted.

    Models that descend from it stay as they are, and so does the log. Hidden files in its folder stay.
    Calling it again goes on with files that are left. Nobody else removes a model meanwhile, and no round of
    retraining begins. Raises ConfigError for the promoted model and for that of a round that has not ended,
    and before files are deleted that the settings name or that such a round begins from; ModelError where the
    folder holds others than those that were registered, or is that of another model, too.
    """
    with opened_catalog(settings) as catalog, catalog.locks.hold(MODELS):
        own = _take_out(settings, catalog, name, files=files)
        try:
            _delete(own)
        except OSError as error:
            raise ModelError(
                f"{name} is out of the list, and {error.filename} cannot be deleted: {error.strerror}; "
                f"`detseg models rm {name} --files` goes on"
            ) from error
    return own


def _take_out(settings: Settings, catalog: Catalog, name: str, *, files: bool) -> tuple[Path, ...]:
    """Take a model out of the list; the files that are to be deleted."""
    model = find_any(catalog, name) if files else find_model(catalog, name)
    of_run = settings.model
    named = (of_run.detector, of_run.segmenter, *of_run.committee, settings.retrain.base)
    if files and any(str(settings.path(one)) == model.path for one in named if one):
        raise ConfigError(f"the settings name {model.path} as a model: take it out of detseg.toml first")
    others = [one.name for one in catalog.models.all() if one.path == model.path and one.name != name]
    if files and others:
        raise ModelError(f"{model.path} is that of {', '.join(others)}, too: remove its files yourself")
    own = tuple(_own_files(model)) if files else ()
    if begun := open_round(catalog):
        _require_unneeded(model, begun, is_base=files and str(settings.path(begun.base)) == model.path)
    if not catalog.models.remove(name):
        raise ConfigError(
            f"{name} is the promoted model: `detseg models rollback`, or promote another one, and remove "
            "it then"
        )
    return own


def _require_unneeded(model: RegisteredModel, begun: Round, *, is_base: bool) -> None:
    """ConfigError for a model without which a round that has begun cannot go on."""
    made = model.name == begun.name
    if made or is_base:
        raise ConfigError(
            f"the round {begun.name} {'made' if made else 'begins from'} {model.name}, and has not ended: "
            "`detseg retrain` ends it, and `detseg retrain --restart` gives it up for another one"
        )


def _delete(files: Collection[Path]) -> None:
    """Delete files, and their folders where nothing is left in them. Of a link the link goes."""
    for file in files:
        file.unlink(missing_ok=True)
    for folder in sorted({file.parent for file in files}, reverse=True):
        if not any(folder.iterdir()):
            folder.unlink() if folder.is_symlink() else folder.rmdir()


def _own_files(model: RegisteredModel) -> Iterator[Path]:
    """The files of a model's training, the one by which they are known last. ModelError for others'."""
    folder = Path(model.path)
    result = folder / RESULT
    if not result.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise ModelError(
                f"{folder} has no {RESULT}: nobody can tell that its files are those of {model.name}"
            )
        return
    entry = read_json(result)
    if not isinstance(entry, dict) or entry.get("trained") != model.figures:
        raise ModelError(
            f"{folder} holds another training than that of {model.name}: remove its files yourself"
        )
    if model.removed_at is None and checkpoint_digest(folder) != model.digest:
        raise ModelError(
            f"{folder} holds files that are not those of {model.name} as it was registered: remove what is "
            "yours, or remove its files yourself"
        )
    yield from checkpoint_files(folder)
    yield from (folder / name for name in (CARD, RESULT) if (folder / name).is_file())
