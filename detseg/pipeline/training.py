"""Fine-tuning on a dataset version: what is read from where, what is left out, and what is refused.

Images that are far away are copied once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detseg.datasets.sample import Sample, decode_sample
from detseg.datasets.splits import CHOSEN_BY, LEARNED
from detseg.datasets.store import DatasetStore
from detseg.errors import DatasetError, ImageError, TrainingError
from detseg.files import replacing
from detseg.images import decode_image, image_id
from detseg.pipeline import progress
from detseg.pipeline.datasets import describe_taxonomy
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.predictors import SAMPLE
from detseg.pipeline.reading import describe_unread, open_sources, read_labeled
from detseg.plurals import format_count
from detseg.samples.checkpoints import Role, checkpoint_path
from detseg.sources.registry import LOCAL, scheme_of
from detseg.training.checks import check_version, describe_crowds
from detseg.training.plan import Plan, Trained
from detseg.training.tables import write_table

if TYPE_CHECKING:
    from detseg.config import Settings
    from detseg.config.training import TrainingSettings
    from detseg.datasets.version import Version
    from detseg.sources.registry import Sources
    from detseg.training.tasks import Task
    from detseg.types import DecodedImage

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
    Raises DatasetError for a version that is not there or too many images of which are gone, TrainingError
    for one that cannot be learned from and for a base that cannot learn, ModelError for one that cannot be
    loaded, LockHeld where another process trains into ``out``.
    """
    from detseg.training.adapt import count_queries
    from detseg.training.pretrained import load_pretrained, task_of
    from detseg.training.train import Splits, train
    from detseg.training.work import find_trained, working

    store = DatasetStore(settings.datasets_location)
    version = store.version(name)
    weights = _located(base, settings.path(base))
    task = task_of(weights, head=settings.training.head)
    plan = Plan(
        base=base,
        weights=weights,
        dataset=version.name,
        dataset_id=version.id,
        classes=task.learned(version.recipe.classes),
        settings=settings.training,
        seed=seed,
        minutes=minutes,
        device=settings.engine.device,
        precision=settings.engine.precision,
    )
    if (done := find_trained(out, plan)) is not None:
        return done
    _require_truth(store, version, task, settings.training, base=base)
    about = describe_taxonomy(version, settings.changes)
    notes = [*filter(None, [about]), *check_version(version, plan.classes)]
    checkpoint = load_pretrained(weights, head=settings.training.head, seed=seed)
    with open_sources(settings) as sources, working(out, plan) as work:
        images = LabeledImages(sources, work / "images")
        train_table, val_table = (
            write_table(work / f"{side}.arrow", images.readable(store, version, side))
            for side in (LEARNED, CHOSEN_BY)
        )
        notes += describe_unread(settings.run, images.missing, version.name, n_images=images.n_seen)
        queries = settings.training.queries or count_queries(checkpoint.config)
        notes += describe_crowds(images.most_objects, queries, base=base, masks=task.masks)
        for note in notes:
            warn(note)
        splits = Splits(train_table, val_table, images.read)
        return train(plan, checkpoint, out, splits=splits, report=_Percent(), warn=warn, notes=tuple(notes))


def _located(base: str, there: Path) -> str:
    """The checkpoint that is meant: one of ``SAMPLES`` comes with the package; of a folder the whole path."""
    if base in SAMPLES:
        return str(checkpoint_path(SAMPLES[base]))
    return str(there) if there.exists() else base


def _require_truth(
    store: DatasetStore, version: Version, task: Task, training: TrainingSettings, *, base: str
) -> None:
    """TrainingError for a model of masks where things have boxes alone, and for mixing without masks."""
    if not task.masks:
        if training.copy_paste or training.cutmix:
            raise TrainingError(
                f"{base} learns boxes, and only images with masks can be mixed: leave training.copy_paste "
                "and training.cutmix at 0"
            )
        return
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


@dataclass(slots=True)
class LabeledImages:
    """The images of a version where they lie. ``missing`` are the places and reasons of those that do not.

    Those that come over a network are kept in the folder ``kept``, up to ``most_kept`` bytes.
    """

    sources: Sources
    kept: Path
    most_kept: int = 4 * 2**30
    n_seen: int = 0
    most_objects: int = 0
    missing: list[str] = field(default_factory=list)
    _n_kept: int | None = field(default=None, init=False)  # bytes

    def read(self, sample: Sample) -> DecodedImage:
        """The upright image of a sample. TrainingError where it went away or changed since the check."""
        try:
            data = self._labeled(sample)
            return decode_image(data, sample.uri, max_pixels=self.sources.limits.max_pixels)
        except ImageError as error:
            raise TrainingError(
                f"{sample.uri or sample.image} {error}: put it back, or let it be left out, and run the same "
                "command again, which goes on from the last checkpoint"
            ) from error

    def readable(self, store: DatasetStore, version: Version, side: str) -> Iterator[dict[str, Any]]:
        """The rows of one split whose images are still what was labeled; the others are noted.

        DatasetError at the end where there is none.
        """
        wanted = {image for image, split in store.splits(version).items() if split == side}
        progress.report("check", total=version.counts.splits[LEARNED] + version.counts.splits[CHOSEN_BY])
        n_read = 0
        for row in store.rows(version, wanted):
            sample = decode_sample(row)
            self.n_seen += 1
            self.most_objects = max(self.most_objects, len(sample.annotation().regions))
            try:
                self._labeled(sample)
                n_read += 1
                yield row
            except ImageError as error:
                self.missing.append(f"{sample.uri or sample.image} {error}")
            progress.report("check", advance=1)
        if not n_read:
            raise DatasetError(
                f"no image of the split {side!r} of {version.name} can be read any more, the last: "
                f"{self.missing[-1]}: put them back, or make a version of what is there"
            )

    def _labeled(self, sample: Sample) -> bytes:
        """The bytes that were labeled. Raises ImageError where they are gone or others."""
        if scheme_of(sample.uri) == LOCAL:
            return read_labeled(self.sources, sample.uri, sample.image)
        copy = self.kept / sample.image.removeprefix("sha256:")
        with suppress(OSError):
            data = copy.read_bytes()
            if image_id(data) == sample.image:
                return data
        data = read_labeled(self.sources, sample.uri, sample.image)
        with suppress(OSError):  # without room for copies, images are fetched whenever they are needed
            self.kept.mkdir(exist_ok=True)
            if self._n_kept is None:
                self._n_kept = sum(file.stat().st_size for file in self.kept.iterdir())
            if self._n_kept + len(data) <= self.most_kept:
                with replacing(copy, binary=True) as file:
                    file.write(data)
                self._n_kept += len(data)
        return data
