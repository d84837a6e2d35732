"""The sections on labels as a dataset: how much of each class there is, where, whose, and how it grew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from xml.etree import ElementTree

from detseg.datasets.figures import GRID, OBJECT_SIZES, ClassFigures, DatasetFigures, ObjectSize, VersionSize
from detseg.metrics.answers import Unit
from detseg.metrics.edit_rates import Quantiles
from detseg.plurals import format_count
from detseg.report.cells import (
    colour_of,
    count_cell,
    name_cell,
    stacked_parts,
    table,
    value_cell,
)
from detseg.report.views import Block, Cell, Chart, Column, Key, Row, Section, Table
from detseg.report.wording import NOT_DEFINED, format_range, format_share, format_value
from detseg.taxonomy import Taxonomy

MOST_GRIDS, MOST_PEOPLE, MOST_VERSIONS = 24, 30, 30

_SIZE_COLOURS: Mapping[ObjectSize, str] = {"small": "#e69f00", "medium": "#56b4e9", "large": "#0072b2"}
_SIZE_MEANINGS: Mapping[ObjectSize, str] = {
    "small": "below 32x32 pixels of area",
    "medium": "from there on",
    "large": "from 96x96 pixels on",
}
_CELL_PX = 20


def label_sections(
    figures: DatasetFigures, taxonomy: Taxonomy, growth: Sequence[VersionSize] = ()
) -> tuple[Section, ...]:
    """The sections of a tab; one that says what is missing where there is no label."""
    if not figures.n_images:
        missing = "No label yet: detseg collect brings those that people made."
        return (Section("label-classes", "What is labeled", (Block(missing=missing),)),)
    sections = (
        classes_section(figures, taxonomy),
        _sizes_section(figures, taxonomy),
        _positions_section(figures, taxonomy),
        _people_section(figures),
        growth_section(growth, taxonomy) if growth else None,
    )
    return tuple(section for section in sections if section is not None)


def classes_section(figures: DatasetFigures, taxonomy: Taxonomy) -> Section:
    """Show how many images, objects and pixels each class has, also by split."""
    columns = (
        Column("Class", "name"),
        Column("Images", about="that have it"),
        Column("Objects"),
        *(Column(split, about="objects, images") for split in figures.splits),
        Column("Masks", about="of the objects"),
        Column("Pixels", about="share that masks cover"),
    )
    rows = [_all_row(figures)]
    rows += [
        _class_row(name_cell(name, taxonomy=taxonomy), one, figures.splits)
        for name, one in figures.per_class.items()
    ]
    states = ", ".join(f"{n:,} {state}" for state, n in figures.states.items())
    note = (
        f"{format_count(figures.n_images, 'image')} ({states}) with "
        f"{format_count(figures.n_objects, 'object')}. "
        "A pixel in several masks of a class counts once for it; a box without a mask covers none."
    )
    return Section("label-classes", "What is labeled", (Block(table=table("Classes", columns, rows)),), note)


def _all_row(figures: DatasetFigures) -> Row:
    classes = figures.per_class.values()
    by_split = {split: sum(one.objects_by_split.get(split, 0) for one in classes) for split in figures.splits}
    parts = (_part_cell(by_split[split], figures.n_objects, n) for split, n in figures.splits.items())
    n_masks = sum(one.n_masks for one in classes)
    counts = (count_cell(figures.n_images), count_cell(figures.n_objects))
    return Row((Cell("All"), *counts, *parts, count_cell(n_masks), Cell("")), total=True)


def _class_row(name: Cell, one: ClassFigures, splits: Iterable[str]) -> Row:
    parts = (
        _part_cell(one.objects_by_split.get(split, 0), one.n_objects, one.images_by_split.get(split, 0))
        for split in splits
    )
    counts = (count_cell(one.n_images), count_cell(one.n_objects))
    return Row((name, *counts, *parts, count_cell(one.n_masks), Cell(_fine_share(one.pixel_share))))


def _part_cell(n: int, whole: int, n_images: int) -> Cell:
    share = format_share(n / whole) if whole else NOT_DEFINED
    return Cell(f"{n:,}", f"{share}, {n_images:,}", role="" if n else "quiet")


def _sizes_section(figures: DatasetFigures, taxonomy: Taxonomy) -> Section:
    columns = (
        Column("Class", "name"),
        Column("Small, medium, large", "bar"),
        *(Column(size.capitalize()) for size in OBJECT_SIZES),
        Column("Side", about="root of the area"),
        Column("Of the image", about="share of its area"),
    )
    rows = [_size_row(name, one, taxonomy) for name, one in figures.per_class.items() if one.n_objects]
    keys = tuple(Key(size, _SIZE_MEANINGS[size], _SIZE_COLOURS[size]) for size in OBJECT_SIZES)
    images = (
        f"Images are {_in_words(figures.image_width_px, 'px')} wide and "
        f"{_in_words(figures.image_height_px, 'px')} high, and have "
        f"{_in_words(figures.objects_per_image, 'objects')}."
    )
    note = f"Medians, with the middle eight tenths. {images}"
    missing = "" if rows else "No object is labeled."
    blocks = (Block(missing=missing, keys=keys if rows else (), table=table("Sizes", columns, rows)),)
    return Section("label-sizes", "How large", blocks, note)


def _size_row(name: str, one: ClassFigures, taxonomy: Taxonomy) -> Row:
    values = [(size, one.sizes[size], _SIZE_COLOURS[size]) for size in OBJECT_SIZES]
    words = ", ".join(f"{n:,} {size}" for size, n, _ in values)
    return Row(
        (
            name_cell(name, taxonomy=taxonomy),
            Cell(f"{name}: {words}", parts=stacked_parts(values, total=one.n_objects)),
            *(count_cell(n) for _, n, _ in values),
            _spread_cell(one.side_px, "pixels"),
            _fine_spread_cell(one.share_of_image),
        )
    )


def _spread_cell(spread: Quantiles, unit: Unit) -> Cell:
    if spread.p10 is None or spread.p90 is None:
        return Cell(NOT_DEFINED, role="quiet")
    return Cell(format_value(spread.p50, unit), format_range(spread.p10, spread.p90, unit))


def _fine_spread_cell(spread: Quantiles) -> Cell:
    if spread.p10 is None or spread.p90 is None:
        return Cell(NOT_DEFINED, role="quiet")
    return Cell(_fine_share(spread.p50), f"{_fine_share(spread.p10)} to {_fine_share(spread.p90)}")


def _fine_share(value: float | None) -> str:
    """Format a share, of which small ones are the rule: ``0.41 %``, ``2.5 %``, ``54 %``."""
    if value is None or value == 0 or value >= 0.1:
        return format_share(value)
    return f"{format_value(100 * value, 'number')}\u202f%"


def _in_words(spread: Quantiles, noun: str) -> str:
    """The median of whole numbers, and the middle eight tenths where they differ."""
    if spread.p10 is None or spread.p50 is None or spread.p90 is None:
        return NOT_DEFINED
    words = f"{spread.p50:,.0f}\u202f{noun}"
    return words if spread.p10 == spread.p90 else f"{words} ({spread.p10:,.0f} to {spread.p90:,.0f})"


def _positions_section(figures: DatasetFigures, taxonomy: Taxonomy) -> Section | None:
    most = sorted(
        (name for name, one in figures.per_class.items() if one.n_objects),
        key=lambda name: -figures.per_class[name].n_objects,
    )
    if not most:
        return None
    shown = set(most[:MOST_GRIDS])
    wide, high = figures.image_width_px.p50 or 1.0, figures.image_height_px.p50 or 1.0
    charts = tuple(
        Chart(
            name,
            _grid(one.positions, aspect=min(2.0, max(0.5, high / wide))),
            format_count(one.n_objects, "object"),
            _grid_table(name, one.positions),
            swatch=colour_of(taxonomy, name),
        )
        for name, one in figures.per_class.items()
        if name in shown
    )
    note = f"By the middle of their boxes, in {GRID}x{GRID} cells of the image; the darker, the more objects."
    left = len(most) - len(shown)
    text = f"{left:,} more, with fewer objects, are in the JSON alone." if left else ""
    return Section("label-positions", "Where objects lie", (Block(charts=charts, text=text),), note)


def _grid(positions: Sequence[Sequence[int]], *, aspect: float) -> str:
    """The cells of a class as SVG; each says its number."""
    height = max(1, round(_CELL_PX * aspect))
    largest = max(map(max, positions)) or 1
    numbers = "; ".join(" ".join(map(str, row)) for row in positions)
    root = ElementTree.Element(
        "svg",
        {
            "class": "plot",
            "viewBox": f"0 0 {GRID * _CELL_PX} {GRID * height}",
            "width": str(GRID * _CELL_PX),
            "height": str(GRID * height),
            "role": "img",
            "aria-label": f"Objects by place, rows from the top: {numbers}",
        },
    )
    for y, row in enumerate(positions):
        for x, n in enumerate(row):
            place = {
                "x": str(x * _CELL_PX),
                "y": str(y * height),
                "width": str(_CELL_PX),
                "height": str(height),
            }
            cell = ElementTree.SubElement(root, "rect", {**place, "fill-opacity": f"{n / largest:.2f}"})
            ElementTree.SubElement(cell, "title").text = f"{n:,}"
    return ElementTree.tostring(root, encoding="unicode")


def _grid_table(name: str, positions: Sequence[Sequence[int]]) -> Table | None:
    columns = ("From the top", *(f"{n}" for n in range(1, GRID + 1)))
    rows = (Row((Cell(f"{n}"), *map(count_cell, row))) for n, row in enumerate(positions, 1))
    return table(f"Objects by place: {name}", columns, rows)


def _people_section(figures: DatasetFigures) -> Section:
    most = sorted(figures.authors.items(), key=lambda one: (-one[1], one[0]))
    rows = [
        Row((Cell(author), count_cell(n), value_cell(n / figures.n_images, "share")))
        for author, n in most[:MOST_PEOPLE]
    ]
    left = len(most) - len(rows)
    text = f"{format_count(left, 'more author')} in the JSON." if left else ""
    columns = (Column("Who", "name"), Column("Images"), Column("Share"))
    note = "Images by who labeled them; where several people’s word counts, each of them is named."
    return Section(
        "label-people", "By whom", (Block(table=table("By whom", columns, rows), text=text),), note
    )


def growth_section(growth: Sequence[VersionSize], taxonomy: Taxonomy) -> Section:
    """Show the sizes of versions, the newest last."""
    shown = growth[-MOST_VERSIONS:]
    largest = max(1, *(one.n_objects for one in shown))
    rows = []
    for one in shown:
        values = [(name, n, colour_of(taxonomy, name)) for name, n in one.objects_by_class.items()]
        words = ", ".join(f"{n:,} {name}" for name, n, _ in values) or "nothing"
        rows.append(
            Row(
                (
                    Cell(one.name, f"{one.created_at:%Y-%m-%d %H:%M} UTC"),
                    count_cell(one.n_images),
                    count_cell(one.n_objects),
                    Cell(f"{one.name}: {words}", parts=stacked_parts(values, total=largest)),
                )
            )
        )
    columns = (
        Column("Version", "name"),
        Column("Images"),
        Column("Objects"),
        Column("Objects of each class", "bar"),
    )
    text = f"The {len(shown)} newest of {len(growth)} versions." if len(growth) > len(shown) else ""
    return Section("label-growth", "How it grew", (Block(table=table("Versions", columns, rows), text=text),))


def losses_section(lost: Mapping[str, Mapping[str, int]]) -> Section:
    """Show what an export in each format would lose."""
    rows = [
        Row((Cell(name), Cell(", ".join(f"{loss}: {n:,}" for loss, n in losses.items()) or "nothing")))
        for name, losses in lost.items()
    ]
    columns = (Column("Format", "name"), Column("What it cannot hold", "words"))
    note = "In regions; every export says the same before it writes, and --strict refuses it."
    return Section(
        "label-losses", "What an export loses", (Block(table=table("Losses", columns, rows)),), note
    )
