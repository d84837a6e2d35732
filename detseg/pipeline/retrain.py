"""The use case of ``detseg retrain``: a dataset version, a training, a judgement, and a promotion or none.

A round is recorded in the catalog when it begins, with the name of its version, its folder and its model.
Until it has ended, every run goes on with it: each step finds what it did before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from detseg.catalog.database import utc_now
from detseg.datasets.sample import image_of
from detseg.datasets.splits import SplitRule, parse_shares
from detseg.datasets.store import DatasetStore
from detseg.errors import ConfigError
from detseg.pipeline.datasets import Wish, create_version
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.labels import label_rules, read_labels
from detseg.pipeline.promoting import Judge, Promoted, judging_by, promote
from detseg.pipeline.registry import register
from detseg.pipeline.rounds import MODELS, ROUND, Round, begin_round, end_round, last_version_id, open_round
from detseg.pipeline.training import train_version
from detseg.pipeline.workspace import known_project, opened_catalog
from detseg.plurals import format_count
from detseg.training.plan import encode_trained

if TYPE_CHECKING:
    from detseg.catalog import Catalog
    from detseg.config import Settings
    from detseg.config.sections import ModelSettings, QueueSettings
    from detseg.config.training import RetrainSettings
    from detseg.datasets.version import Version
    from detseg.training.plan import Trained as Trained
    from detseg.types import ImageId

Note = Callable[[str], None]

_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Due:
    """Whether a round is due, and why, or why not. ``n_new`` images were labeled since the last one."""

    is_due: bool
    reason: str
    n_new: int


@dataclass(frozen=True, slots=True)
class RetrainReport:
    """The outcome of a run. All but ``due`` is None where no round was due."""

    due: Due
    round: Round | None = None
    trained: Trained | None = None
    promoted: Promoted | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self.due),
            "round": self.round.name if self.round else None,
            "base": self.round.base if self.round else None,
            "trained": encode_trained(self.trained) if self.trained else None,
            "promoted": self.promoted.is_present if self.promoted else None,
            "model": self.promoted.model.name if self.promoted else None,
            "judgement": self.promoted.judgement if self.promoted else None,
        }


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a round in their order. Each finds what it did before, when a round goes on."""

    make_version: Callable[[Settings, Round], str]
    """returns the id of the dataset version"""
    train: Callable[[Settings, Round], Trained]
    judge: Callable[[Settings, Round], Promoted]


def retrain(
    settings: Settings,
    steps: Steps | None = None,
    *,
    by_hand: bool = False,
    restart: bool = False,
    note: Note = lambda _: None,
) -> RetrainReport:
    """Train the next model on what was labeled since the last round, and promote it if it is better.

    Does nothing where no round is due, unless ``by_hand``. Goes on with a round that was begun; ``restart``
    gives that up for a new one, due or not. ``note`` hears what is done and each odd thing. Raises LockHeld
    while another run is at it, ConfigError for a split that is none, and what the steps raise: the next run
    goes on there.
    """
    parse_shares(settings.retrain.split)
    with opened_catalog(settings) as catalog, catalog.locks.hold(ROUND, longest_s=_WAIT_S):
        due = look_for_due(settings, catalog, restart=restart)
        if not (due.is_due or by_hand):
            return RetrainReport(due)
        begun = (None if restart else open_round(catalog)) or _begin(settings, catalog)
        note(f"round {begun.name}: {due.reason if due.is_due else 'begun by hand'}")
        failpoint("retrain.begun")
        steps = steps or default_steps(note)
        dataset_id = steps.make_version(settings, begun)
        failpoint("retrain.version")
        trained = steps.train(settings, begun)
        failpoint("retrain.trained")
        promoted = steps.judge(settings, begun)
        failpoint("retrain.judged")
        end_round(catalog, begun, dataset_id)
    return RetrainReport(due, begun, trained, promoted)


def default_steps(note: Note) -> Steps:
    """The steps as they are without Prefect; ``note`` hears of each odd thing."""
    return Steps(
        make_round_version,
        lambda *given: train_round(*given, note=note),
        lambda *given: judge_round(*given, note=note),
    )


def look_for_due(
    settings: Settings, catalog: Catalog, *, restart: bool = False, clock: Callable[[], datetime] = utc_now
) -> Due:
    """Tell whether a round is due: one was begun, or so many new labels or so many weeks came.

    New are images without a label in the version of the last round, or in that of the promoted model.
    """
    limits, store = settings.retrain, DatasetStore(settings.datasets_location)
    last = _last_version(store, catalog)
    known = {image_of(image) for image in store.splits(last)} if last else set()
    n_new = _count_new(settings.queue, catalog, known, simulated=limits.simulated)
    images = format_count(n_new, "image")
    if begun := open_round(catalog):
        state = f"in the place of {begun.name}, " if restart else ""
        return Due(True, f"{state}begun on {begun.begun[:10]}, and not ended", n_new)
    if limits.new_images and n_new >= limits.new_images:
        return Due(True, f"{images} newly reviewed (retrain.new_images is {limits.new_images:,})", n_new)
    if last is None:
        return Due(False, f"{images} reviewed: the first round begins with {limits.new_images:,}", n_new)
    since = f"since {last.name} of {last.created_at:%Y-%m-%d}"
    if limits.weeks and n_new and clock() - last.created_at >= timedelta(weeks=limits.weeks):
        return Due(True, f"{images} newly reviewed {since} (retrain.weeks is {limits.weeks:g})", n_new)
    return Due(False, f"{images} newly reviewed {since}: a round is due with {limits.new_images:,}", n_new)


def make_round_version(settings: Settings, begun: Round) -> str:
    """Make the dataset version of a round of the labels of now, unless it is there; the id of it."""
    store = DatasetStore(settings.datasets_location)
    there = next((one for one in store.versions() if one.name == begun.name), None)
    wish = Wish(split=SplitRule(parse_shares(settings.retrain.split)), simulated=settings.retrain.simulated)
    return (there or create_version(settings, begun.name, wish)).id


def train_round(settings: Settings, begun: Round, *, note: Note) -> Trained:
    """Train the model of a round and register it; goes on with a training that was stopped."""
    trained = train_version(
        settings,
        begun.name,
        base=begun.base,
        out=settings.models_path / begun.name,
        minutes=settings.retrain.minutes,
        seed=begun.seed,
        warn=note,
    )
    register(settings, trained.checkpoint)
    return trained


def judge_round(settings: Settings, begun: Round, judge: Judge | None = None, *, note: Note) -> Promoted:
    """Judge the model of a round beside the present one, on the split test of its version."""
    model = register(settings, settings.models_path / begun.name)
    return promote(settings, model.name, judge or judging_by(begun.name, note))


def _last_version(store: DatasetStore, catalog: Catalog) -> Version | None:
    """The version of the last round, else that of the promoted model, if it is still there."""
    ids = [last_version_id(catalog)]
    promotion = catalog.promotions.present()
    if promotion and promotion.model and (model := catalog.models.get(promotion.model)):
        ids.append(model.dataset_id)
    by_id = {version.id: version for version in store.versions()}
    return next((by_id[one] for one in ids if one in by_id), None)


def _count_new(queue: QueueSettings, catalog: Catalog, known: Collection[ImageId], *, simulated: bool) -> int:
    labels = read_labels(catalog, known_project(catalog, queue.project), label_rules(queue))
    wanted = (one for one in labels if simulated or not one.simulated)
    return sum(label.image not in known for label in wanted)


def _begin(settings: Settings, catalog: Catalog) -> Round:
    """Record a new round under the first name that no version, folder or model has.

    No model is removed meanwhile, so that the one that it begins from is there.
    """
    with catalog.locks.hold(MODELS):
        begun = _name_round(settings, catalog)
        begin_round(catalog, begun)
    return begun


def _name_round(settings: Settings, catalog: Catalog) -> Round:
    taken = {version.name for version in DatasetStore(settings.datasets_location).versions()}
    taken |= {model.name for model in catalog.models.all(removed=True)}
    number, begun = 0, None
    while begun is None or begun.name in taken or (settings.models_path / begun.name).exists():
        number += 1
        base = _starting_checkpoint(settings.retrain, settings.model, catalog)
        begun = Round(f"{ROUND}-{number}", base, number, utc_now().isoformat())
    return begun


def _starting_checkpoint(retraining: RetrainSettings, model: ModelSettings, catalog: Catalog) -> str:
    """The checkpoint that a round begins from. ConfigError where the settings name none."""
    if retraining.base:
        return retraining.base
    promotion = catalog.promotions.present()
    if promotion and promotion.model and (promoted := catalog.models.get(promotion.model)):
        return promoted.path
    base = model.detector or model.segmenter
    if base is None:
        raise ConfigError("no model is promoted or set: name the checkpoint to begin from in retrain.base")
    return base
