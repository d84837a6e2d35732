"""Fine-tuning on a dataset version: what is read from where, what is left out, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from detseg.datasets.sample import decode_sample
from detseg.errors import TrainingError
from detseg.pipeline import progress
from detseg.pipeline.datasets import describe_taxonomy, open_store
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.predictors import SAMPLE
from detseg.pipeline.reading import open_sources
from detseg.pipeline.training_images import LabeledImages
from detseg.plurals import format_count
from detseg.samples.checkpoints import Role, checkpoint_path
from detseg.training.checks import CHOSEN_BY, LEARNED, check_version, describe_crowds
from detseg.training.plan import Plan, Trained
from detseg.training.tables import write_table

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.datasets.store import DatasetStore
    from detseg.datasets.version import Version

_STAGE = "train"

SAMPLES: Mapping[str, Role] = {SAMPLE: "detector", f"{SAMPLE}-segmenter": "segmenter"}
"""The checkpoints that come with the package, by what ``--base`` calls them."""


def train_version(
    settings: Settings,
    name: str,
    *,
    base: str,
    out: Path,
    minutes: float | None = None,
    seed: int = 0,
    warn: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Fine-tune a checkpoint on the split ``train`` of a version, and keep what is best on ``val``.

    ``base`` is a folder, a hub's model name, or one of ``SAMPLES``. The same call goes on with a training
    that was stopped, and answers at once for one that has ended; ``warn`` gets a line about each odd thing.
    Raises DatasetError for a version that is not there, TrainingError for one that cannot be learned from and
    for a base that cannot learn, ModelError for one that cannot be loaded.
    """
    from detseg.training.heads import count_queries
    from detseg.training.pretrained import load_pretrained, task_of
    from detseg.training.train import Splits, train
    from detseg.training.work import find_trained, open_work

    store = open_store(settings)
    version = store.version(name)
    weights = _located(settings, base)
    masks = task_of(weights).masks
    plan = Plan(
        base=base,
        weights=weights,
        dataset=version.name,
        dataset_id=version.id,
        classes=tuple(cls for cls in version.recipe.classes if masks or cls.kind == "thing"),
        settings=settings.training,
        seed=seed,
        minutes=minutes,
        device=settings.engine.device,
        precision=settings.engine.precision,
    )
    if (done := find_trained(out, plan)) is not None:
        return done
    if masks:
        _require_masks(store, version, base=base)
    about = describe_taxonomy(version, settings.changes)
    notes = [*filter(None, [about]), *check_version(version, plan.classes)]
    checkpoint = load_pretrained(plan.weights)
    with open_sources(settings) as sources:
        work = open_work(out, plan)
        images = LabeledImages(sources, work / "images", settings.run.max_quarantined_share)
        train_table, val_table = (
            write_table(work / f"{side}.arrow", images.readable(store, version, side))
            for side in (LEARNED, CHOSEN_BY)
        )
        notes += images.describe_missing(version)
        queries = settings.training.queries or count_queries(checkpoint.config)
        notes += describe_crowds(images.most_objects, queries, base=base)
        for note in notes:
            warn(note)
        splits = Splits(train_table, val_table, images.read)
        return train(plan, checkpoint, out, splits=splits, report=_Percent(), warn=warn, notes=tuple(notes))


def _located(settings: Settings, base: str) -> str:
    """The checkpoint that is meant: one of ``SAMPLES`` comes with the package; of a folder the whole path."""
    if base in SAMPLES:
        return str(checkpoint_path(SAMPLES[base]))
    there = settings.path(base)
    return str(there) if there.exists() else base


def _require_masks(store: DatasetStore, version: Version, *, base: str) -> None:
    """TrainingError for a version in which things have boxes alone."""
    regions = (region for row in store.rows(version) for region in decode_sample(row).annotation().regions)
    things = [region.instance for region in regions if region.instance.kind == "thing"]
    if n_boxes := sum(one.mask is None for one in things):
        raise TrainingError(
            f"{n_boxes} of the {format_count(len(things), 'thing')} of {version.name} have a box alone, and "
            f"{base} learns masks: let SAM draw one in each box (`detseg preannotate --detector reviews "
            "--segmenter facebook/sam-vit-base`), collect what people make of them, and make a new version"
        )


class _Percent:
    """Tells who listens how far the training is, in whole percents."""

    def __init__(self) -> None:
        self._told = 0
        progress.report(_STAGE, total=100)

    def __call__(self, share_done: float) -> None:
        now = int(100 * share_done)
        progress.report(_STAGE, advance=now - self._told)
        self._told = now
        failpoint("train.after_step")
