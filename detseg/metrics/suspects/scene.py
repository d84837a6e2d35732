"""One case as the rules see it: the regions beside the model's and other people's, and how they overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from detseg.geometry.boxes import box_iou_matrix, boxes_to_array
from detseg.geometry.extent import NOWHERE
from detseg.geometry.masks import mask_iou_matrix
from detseg.geometry.outlines import Outline, measure_outline
from detseg.metrics.cases import Case
from detseg.metrics.suspects.counterparts import Choice, Counterparts, Matrix, find_counterparts
from detseg.metrics.suspects.options import SuspectOptions
from detseg.metrics.suspects.usual import Observation
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, Box, Mask, Region

_FAR_PX = 1e7
"""No image reaches so far; areas of what does stay finite."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's finding about a region (None for the whole image), and its confidence, in [0, 1].

    It stands only where ``unusual``, if there is one, is so for the project (see ``judge``).
    """

    rule: str
    sure: float
    reason: str
    region: Region | None = None
    box: Box | None = None
    unusual: Observation | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A region with what its runs say. ``extent`` is its box, else its mask's.

    ``outline`` is None without a mask and for an empty one.
    """

    region: Region
    outline: Outline | None
    extent: Box

    @property
    def has_mask(self) -> bool:
        return self.region.instance.mask is not None


@dataclass(frozen=True, slots=True)
class Layer:
    """The regions of one author; ``boxes`` (N, 4) and ``areas`` (N,) are those of their extents.

    ``tight`` (N, 4) are the boxes of their masks, where they have one.
    """

    shapes: tuple[Shape, ...]
    boxes: Matrix
    areas: Matrix
    tight: Matrix


@dataclass(frozen=True, slots=True)
class Reference:
    """Another view of the image, to compare the review with: the model's or another person's.

    ``iou`` and the areas are (N, M), the review's regions by the reference's: of masks where both have one,
    else of extents. ``same`` says where both have one label and one kind. ``trust`` (M,) is the model's
    score, and 1 for people.
    """

    name: str
    layer: Layer
    trust: Matrix
    iou: Matrix
    own_areas: Matrix
    areas: Matrix
    same: Choice

    @property
    def shared(self) -> Matrix:
        """The area that both have, (N, M)."""
        return self.iou / (1 + self.iou) * (self.own_areas + self.areas)

    def nested(self, inside: float) -> Choice:
        """Choose the pairs (N, M) of which one has that share of its area, at least, in the other."""
        nested: Choice = (self.iou > 0) & (self.shared >= inside * np.minimum(self.own_areas, self.areas))
        return nested


@dataclass(frozen=True, slots=True)
class Scene:
    """A case, the review that counts, and those who say something else.

    ``model`` has every region that the model scored at least ``witness_score``, ``faint`` are the others;
    ``people`` are the other judged reviews.
    """

    case: Case
    truth: Annotation
    taxonomy: Taxonomy
    options: SuspectOptions
    layer: Layer
    model: Reference
    faint: Layer
    people: tuple[Reference, ...]
    counterparts: Counterparts
    """The model's region of each label."""

    @property
    def references(self) -> tuple[Reference, ...]:
        return (self.model, *self.people)


FindingsOf = Callable[[Scene], Iterator[Finding | Observation]]


def build_context(case: Case, taxonomy: Taxonomy, options: SuspectOptions) -> Scene | None:
    """The scene of a case; None where there is nothing to judge: no review that counts, or a known truth."""
    truth = case.truth
    if truth is None or case.gold is not None:
        return None
    known: dict[Mask, Outline | None] = {}
    layer = _layer(truth.regions, known)
    scored, faint = _by_score(case.prediction.regions, options.witness_score)
    others = [r for r in case.reviews if r is not truth and r.state in ("labeled", "empty")]
    model = _reference("the model", _layer(scored, known), layer)
    return Scene(
        case=case,
        truth=truth,
        taxonomy=taxonomy,
        options=options,
        layer=layer,
        model=model,
        faint=_layer(faint, known),
        counterparts=find_counterparts(
            model.iou, model.same, model.nested(options.inside), same_iou=options.same_iou
        ),
        people=tuple(_reference("another person", _layer(other.regions, known), layer) for other in others),
    )


def _by_score(regions: Sequence[Region], least: float) -> tuple[list[Region], list[Region]]:
    """The regions with at least that score, and the others."""
    scored = [region for region in regions if (region.instance.score or 0.0) >= least]
    return scored, [region for region in regions if (region.instance.score or 0.0) < least]


def overlaps(a: Layer, b: Layer) -> Matrix:
    """Compute the overlap of regions: (N, M), in [0, 1]; of masks where both have one, else of extents."""
    iou = box_iou_matrix(a.boxes, b.boxes)
    (rows, masks_a), (columns, masks_b) = _masks(a), _masks(b)
    if rows and columns:
        iou[np.ix_(rows, columns)] = mask_iou_matrix(masks_a, masks_b)
    return iou


def _masks(layer: Layer) -> tuple[list[int], list[Mask]]:
    """Return the places of the regions that have a mask, and the masks."""
    found = [(i, mask) for i, shape in enumerate(layer.shapes) if (mask := shape.region.instance.mask)]
    return [i for i, _ in found], [mask for _, mask in found]


def _reference(name: str, layer: Layer, own: Layer) -> Reference:
    scores = [shape.region.instance.score for shape in layer.shapes]
    both = _has_mask(own)[:, None] & _has_mask(layer)[None, :]
    return Reference(
        name=name,
        layer=layer,
        trust=np.array([1.0 if score is None else score for score in scores]),
        iou=overlaps(own, layer),
        own_areas=np.where(both, _mask_areas(own)[:, None], own.areas[:, None]),
        areas=np.where(both, _mask_areas(layer)[None, :], layer.areas[None, :]),
        same=_equal(_names(own), _names(layer)),
    )


def _layer(regions: Sequence[Region], known: dict[Mask, Outline | None]) -> Layer:
    """``known`` remembers outlines: most masks of a review are the model's."""
    shapes = tuple(_shape(region, known) for region in regions)
    boxes = boxes_to_array([shape.extent for shape in shapes])
    areas: Matrix = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    tight = boxes_to_array([shape.outline.box if shape.outline else shape.extent for shape in shapes])
    return Layer(shapes, boxes, areas, tight)


def _shape(region: Region, known: dict[Mask, Outline | None]) -> Shape:
    instance, outline = region.instance, None
    if instance.mask is not None:
        if instance.mask not in known:
            known[instance.mask] = measure_outline(instance.mask)
        outline = known[instance.mask]
    box = instance.box or (outline.box if outline else NOWHERE)
    if max(map(abs, box.xyxy)) > _FAR_PX:
        box = Box(*np.clip(box.xyxy, -_FAR_PX, _FAR_PX).tolist())
    return Shape(region, outline, box)


def _has_mask(layer: Layer) -> Choice:
    return np.array([shape.has_mask for shape in layer.shapes], dtype=bool)


def _mask_areas(layer: Layer) -> Matrix:
    areas = [shape.outline.area_px if shape.outline else 0.0 for shape in layer.shapes]
    return np.array(areas, dtype=np.float64)


def _names(layer: Layer) -> list[tuple[str, str]]:
    return [(shape.region.instance.label, shape.region.instance.kind) for shape in layer.shapes]


def _equal(a: Sequence[object], b: Sequence[object]) -> Choice:
    return np.array([[one == other for other in b] for one in a], dtype=bool).reshape(len(a), len(b))
