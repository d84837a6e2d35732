"""The use cases of ``detseg models``: promote, roll back, remove."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.errors import ConfigError, ModelError
from detseg.files import read_json
from detseg.pipeline.promoted import require_unchanged
from detseg.pipeline.registry import CARD, PRESENT, checkpoint_digest, checkpoint_files
from detseg.pipeline.workspace import opened_catalog
from detseg.training.plan import RESULT

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Promotion, PromotionKind, RegisteredModel
    from detseg.config import Settings

Judge = Callable[["Settings", "RegisteredModel"], "dict[str, Any]"]
"""Judges a candidate beside the present model. Returns what ``detseg models compare --json`` prints."""


def judging_by(dataset: str | None, note: Callable[[str], None]) -> Judge:
    """Judge on the split test of a dataset version; None is the one that the candidate learned from."""

    def judge(settings: Settings, model: RegisteredModel) -> dict[str, Any]:
        from detseg.pipeline.judging import judge

        return judge(settings, PRESENT, model.name, dataset or model.dataset_id, warn=note).to_json()

    return judge


@dataclass(frozen=True, slots=True)
class Promoted:
    """The outcome of a promotion. ``promotion`` is the present entry of the log, None where there is none.

    ``is_present`` tells whether the model pre-annotates from now on; ``judgement`` is that of this call, None
    where nobody was asked: by force, or because the model was promoted before.
    """

    model: RegisteredModel
    is_present: bool
    promotion: Promotion | None
    judgement: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        promotion = self.promotion if self.is_present else None
        return {
            "model": self.model.name,
            "promoted": self.is_present,
            "kind": promotion.kind if promotion else None,
            "at": promotion.at.isoformat() if promotion else None,
            "judgement": self.judgement,
        }


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

    It gets the thresholds and maps of scores that it was judged with.
    ``judge`` is None where it is to be promoted by force. One that is promoted already is not judged again.
    Raises ConfigError for a name that is none, ModelError for files that are not those that were registered,
    CatalogError where another model was promoted or this one removed while it was judged.
    """
    with opened_catalog(settings) as catalog:
        model = find_model(catalog, name)
        require_unchanged(catalog, model, mend="train it anew")
        present = catalog.promotions.present()
    if present is not None and present.model == model.name:
        return Promoted(model, is_present=True, promotion=present)
    judgement = judge(settings, model) if judge else None
    if judgement is not None and judgement["better"] is not True:
        return Promoted(model, is_present=False, promotion=present, judgement=judgement)
    with opened_catalog(settings) as catalog:
        kind: PromotionKind = "forced" if judgement is None else "promoted"
        tuned = (judgement or {}).get("tuned") or {}
        promotion = catalog.promotions.promote(
            model.name,
            kind,
            after=None if judgement is None else present.number if present else 0,
            judgement=judgement,
            box_thresholds=tuned.get("class_box_thresholds"),
            mask_thresholds=tuned.get("class_mask_thresholds"),
            score_maps=tuned.get("score_maps"),
        )
    return Promoted(model, is_present=True, promotion=promotion, judgement=judgement)


def apply_thresholds(
    settings: Settings, chosen: Mapping[str, float], *, shown: Collection[str] = ()
) -> Promotion | None:
    """Give the promoted model these lowest scores by class, which a rollback takes back.

    ``shown`` are the model versions of the reviews that they follow from. None where no model is promoted,
    whose thresholds those of the settings are. Raises ModelError where people reviewed other models, too: the
    scores of one say nothing of those of another.
    """
    with opened_catalog(settings) as catalog:
        present = catalog.promotions.present()
        model = catalog.models.get(present.model) if present and present.model else None
        if present is None or model is None:
            return None
        own = f"+{Path(model.path).name.partition('@')[0]}+"  # a version is NAME+NAME@DIGEST
        others = sorted(one for one in shown if "@" in one and own not in f"+{one.rpartition('@')[0]}+")
        if others:
            raise ModelError(
                f"people reviewed regions of {', '.join(others)}, too, and scores of other models say "
                f"nothing of those of {model.name}: its thresholds stay as they are"
            )
        boxes, masks = dict(present.box_thresholds), dict(present.mask_thresholds)
        (masks if model.answers == "masks" else boxes).update(chosen)
        return catalog.promotions.promote(
            model.name,
            "forced" if present.judgement is None else "promoted",  # also after a rollback to it
            after=present.number,
            judgement=present.judgement,
            box_thresholds=boxes,
            mask_thresholds=masks,
            score_maps=present.score_maps,
        )


def roll_back(settings: Settings) -> Promotion:
    """Go back to the promotion before the present one, or to the models of the settings.

    Raises ConfigError where nothing is promoted, ModelError where the files to go back to are gone or others.
    """
    with opened_catalog(settings) as catalog:
        before = catalog.promotions.before()
        if before and before.model and (model := catalog.models.get(before.model)):
            require_unchanged(catalog, model, mend=f"pass over it after `detseg models rm {model.name}`")
        promotion = catalog.promotions.roll_back()
    if promotion is None:
        raise ConfigError("no model is promoted, so there is none to go back from: `detseg models list`")
    return promotion


def remove(settings: Settings, name: str, *, files: bool = False) -> tuple[Path, ...]:
    """Take a model out of the list, and with ``files`` delete its checkpoint; the files that were deleted.

    Models that descend from it stay as they are, and so does the log. Hidden files in its folder stay.
    Calling it again goes on with files that are left. Raises ConfigError for the promoted model, and before
    files are deleted that the settings name; ModelError where the folder holds others than those that were
    registered, or is that of another model, too.
    """
    with opened_catalog(settings) as catalog:
        model = find_any(catalog, name) if files else find_model(catalog, name)
        of_run = settings.model
        named = (of_run.detector, of_run.segmenter, *of_run.committee, settings.retrain.base)
        if files and any(str(settings.path(one)) == model.path for one in named if one):
            raise ConfigError(f"the settings name {model.path} as a model: take it out of detseg.toml first")
        others = [one.name for one in catalog.models.all() if one.path == model.path and one.name != name]
        if files and others:
            raise ModelError(f"{model.path} is that of {', '.join(others)}, too: remove its files yourself")
        own = tuple(_own_files(model)) if files else ()
        if not catalog.models.remove(name):
            raise ConfigError(
                f"{name} is the promoted model: `detseg models rollback`, or promote another one, and remove "
                "it then"
            )
    try:
        _delete(own)
    except OSError as error:
        raise ModelError(
            f"{name} is out of the list, and {error.filename} cannot be deleted: {error.strerror}; "
            f"`detseg models rm {name} --files` goes on"
        ) from error
    return own


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
