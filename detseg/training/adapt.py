"""A checkpoint adapted to a training: to its classes, whose weights are kept where it knows them, and to the
size of its images."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import DPTForSemanticSegmentation
from transformers.loss.loss_utils import LOSS_MAPPING

from detseg.errors import TrainingError, short_reason
from detseg.models.checkpoints import Checkpoint
from detseg.models.families import FAMILIES
from detseg.models.networks.torchvision_checkpoints import TorchvisionConfig
from detseg.taxonomy import LabelClass, Taxonomy
from detseg.training.augment import IGNORED
from detseg.training.torchvision_models import resize_detector, with_rows

BACKGROUND = LabelClass("background", "stuff", aliases=("__background__",))
"""The label of pixels that are of nothing, where every pixel has one."""

_OFF = 0.3
"""How far new queries are from the base's, as a share of the deviation among those."""


def with_classes(
    base: Checkpoint, classes: Sequence[LabelClass], *, seed: int, on_cpu: bool, queries: int = 0
) -> Any:
    """The base's model for these classes, in training mode, all weights free.

    A class that the base knows by its name, by an alias or in another letter case keeps its rows of every
    layer that has one for each class; other classes begin at random, by the seed. With ``queries`` it can
    find so many objects in an image: those that it has more than the base begin near the base's.
    TrainingError for a family in which that is not to be chosen.
    """
    names = [cls.name for cls in classes]
    rows = matching_rows(base.labels, Taxonomy(tuple(classes)))
    if queries and count_queries(base.config) is None:
        raise TrainingError(
            f"{base.name} has no queries to choose the number of: leave training.queries at 0"
        )
    if isinstance(base.config, TorchvisionConfig):
        return with_rows(base, names, rows, seed=seed).train().requires_grad_(True)
    config = _relabeled(base.config, names)
    if queries:
        set_queries(config, queries)
    _prepare_loss(type(base.model), config)
    torch.manual_seed(seed)
    # PyTorch's fused attention is several times slower than the plain one for so few queries on a CPU.
    model = _build(type(base.model), config, **({"attn_implementation": "eager"} if on_cpu else {}))
    heads = class_heads(type(base.model), config, n_classes=len(names))
    state, old = model.state_dict(), base.model.state_dict()
    for key in state:
        if key not in old:
            continue  # it begins at random
        if key in heads:
            keep_rows(state[key], old[key], rows, n_classes=(len(names), len(base.labels)))
        elif queries and state[key].shape != old[key].shape:
            state[key].copy_(_more_queries(old[key], state[key].shape))
        else:
            state[key].copy_(old[key])
    if FAMILIES[type(base.model).__name__].masks:
        model.config.thing_labels = [cls.name for cls in classes if cls.kind == "thing"]
    return model.train().requires_grad_(True)


def count_queries(config: Any) -> int | None:
    """Return how many objects a model can find in one image; None where its configuration does not say."""
    holder = _queries_of(config)
    return None if holder is None else int(getattr(*holder))


def set_queries(config: Any, n: int) -> bool:
    """Let a model find so many objects in one image; False where its configuration has no such number."""
    if (holder := _queries_of(config)) is None:
        return False
    setattr(*holder, n)
    return True


def _queries_of(config: Any) -> tuple[Any, str] | None:
    """The part of a configuration that holds the number of queries, and its name there."""
    for part in (config, getattr(config, "decoder_config", None)):
        if hasattr(part, "num_queries"):
            return part, "num_queries"
    return None


def _more_queries(old: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The first rows of the queries; beyond those that are there, the same ones again, a little off."""
    axis = next(i for i, (there, here) in enumerate(zip(old.shape, shape, strict=True)) if there != here)
    n_old, n_new = old.shape[axis], shape[axis]
    new = old.index_select(axis, torch.arange(n_new) % n_old)
    noise = _OFF * float(old.std()) * torch.randn_like(new)
    noise.narrow(axis, 0, min(n_old, n_new)).zero_()
    return new + noise


def matching_rows(labels: Mapping[int, str], taxonomy: Taxonomy) -> dict[int, int]:
    """The row of the new head for each row of the old one that stays.

    >>> classes = (LabelClass("nut"), LabelClass("bolt", aliases=("screw",)))
    >>> matching_rows({0: "Screw", 1: "gear", 2: "nut"}, Taxonomy(classes))
    {0: 1, 2: 0}
    """
    places = {name: i for i, name in enumerate(taxonomy.names)}
    rows: dict[int, int] = {}
    for old, name in labels.items():
        cls = taxonomy.find(name) if name.strip() else None
        if cls is not None and places[cls.name] not in rows.values():
            rows[old] = places[cls.name]
    return rows


def class_heads(model: type[Any], config: Any, *, n_classes: int) -> frozenset[str]:
    """The names of the weights that have a row for each class: those that change with their number."""
    with torch.device("meta"):
        here = _build(model, config).state_dict()
        more = _build(model, _relabeled(config, [str(i) for i in range(n_classes + 1)])).state_dict()
    return frozenset(key for key, value in here.items() if value.shape != more[key].shape)


def keep_rows(
    new: torch.Tensor, old: torch.Tensor, rows: Mapping[int, int], *, n_classes: tuple[int, int]
) -> None:
    """Copy rows into a head, and those behind the classes, which stand for "nothing" or for padding."""
    n_new, n_old = n_classes
    for there, here in rows.items():
        if there < len(old):
            new[here] = old[there]
    n_behind = min(len(new) - n_new, len(old) - n_old)
    if n_behind > 0:
        new[-n_behind:] = old[-n_behind:]


def _relabeled(config: Any, names: Sequence[str]) -> Any:
    changed = copy.deepcopy(config)
    changed.id2label = dict(enumerate(names))
    changed.label2id = {name: i for i, name in enumerate(names)}
    return changed


def _prepare_loss(model: type[Any], config: Any) -> None:
    """Let the loss of a semantic segmenter pass over ``IGNORED``, and have the head that it cannot do
    without."""
    for name in ("semantic_loss_ignore_index", "loss_ignore_index"):
        if hasattr(config, name):
            setattr(config, name, IGNORED)
    if model is DPTForSemanticSegmentation:
        config.use_auxiliary_head = True


def _build(model: type[Any], config: Any, **options: Any) -> Any:
    build: Any = model._from_config
    return build(copy.deepcopy(config), **options)


_MULTIPLE = 32
"""The sides of images are multiples of this, as most backbones want them."""

_STRIDE = 4
"""Pixels to a side of a cell of the maps in which segmenters answer masks."""

_CELLS_PER_POINT, _LEAST_POINTS = 5, 1024
"""Cells of such a map for each point at which the loss compares masks; and the fewest points."""

_UNFIT = (RuntimeError, ValueError, AssertionError)
"""The errors of models for images of a size that they are not made for."""


def image_processor(processor: Any) -> Any:
    """The part of a processor that prepares images."""
    return getattr(processor, "image_processor", processor)


def longest_side(processor: Any) -> int:
    """Return the longest side of an image as the model sees it, in pixels."""
    return max(int(side) for side in dict(image_processor(processor).size).values() if side)


def show_whole(processor: Any) -> None:
    """Let the model see every image whole and in one size, in training as in use.

    Some processors cut out the centre, as for classification, or keep the proportions, in which images of
    different ones make no batch.
    """
    images = image_processor(processor)
    size = dict(images.size)
    if getattr(images, "do_center_crop", False):
        images.do_center_crop, size = False, dict(images.crop_size)
    if getattr(images, "keep_aspect_ratio", False):
        images.keep_aspect_ratio = False
    side = size.get("shortest_edge")
    if getattr(images, "do_reduce_labels", False):
        images.do_reduce_labels = False  # for whoever prepares labels with it: ours begin with a class
    images.size = {"height": side, "width": side} if side else size


def resize_inputs(base: Checkpoint, longest: int) -> None:
    """Let the model see images of that longest side, in its own proportions and multiples of 32.

    TrainingError for a model that is made for one size alone.
    """
    if isinstance(base.config, TorchvisionConfig):
        resize_detector(base, longest)
        return
    images = image_processor(base.processor)
    factor = longest / longest_side(images)
    images.size = {
        name: max(_MULTIPLE, _MULTIPLE * round(side * factor / _MULTIPLE))
        for name, side in dict(images.size).items()
        if side
    }
    blank = torch.zeros(3, longest, longest, dtype=torch.uint8)
    inputs = images([blank], input_data_format="channels_first", return_tensors="pt")
    try:
        with torch.no_grad():
            base.model(pixel_values=inputs["pixel_values"])
    except _UNFIT as error:
        raise TrainingError(
            f"{base.name} cannot see images of {longest} pixels ({short_reason(error)}): leave "
            "training.image_size at 0"
        ) from error


def spare_points(model: Any, processor: Any) -> None:
    """Let the loss of masks look at as many points as fit the size of their maps.

    Mask2Former and its kin compare masks at 12,544 points, which is a fifth of a map for images of 1024
    pixels. For smaller images it is a fifth as well, but 1,024 at least where the map has as many cells.
    """
    criterion: Any = getattr(model, "criterion", None)
    if not hasattr(criterion, "num_points"):
        return
    sides = [int(side) for side in dict(image_processor(processor).size).values() if side]
    cells = max(sides) * min(sides) // _STRIDE**2
    most = max(cells // _CELLS_PER_POINT, min(cells, _LEAST_POINTS))
    criterion.num_points = min(criterion.num_points, most)
    criterion.matcher.num_points = min(criterion.matcher.num_points, most)


def compute_loss_in_float32(model: Any) -> None:
    """Let the loss of a detector be computed in float32, whatever the precision of its layers.

    Those of RF-DETR and LW-DETR take the logarithm of 1 - p, and in bfloat16 a p above 0.998 is 1.
    """
    if getattr(model, "loss_type", None) not in LOSS_MAPPING:
        return
    own = model.loss_function

    def loss(*arguments: Any, **named: Any) -> Any:
        with torch.autocast(model.device.type, enabled=False):
            return own(*_in_float32(arguments), **_in_float32(named))

    model.loss_function = loss


def _in_float32(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(map(_in_float32, value))
    if isinstance(value, dict):
        return {key: _in_float32(one) for key, one in value.items()}
    return value
