"""Dataset versions in the terminal, as tables, and for programs: what they hold, and what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detseg.cli.output import note_left_out, print_table, say
from detseg.plurals import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from detseg.datasets.figures import ClassFigures, DatasetFigures, VersionSize
    from detseg.datasets.version import Version
    from detseg.metrics.edit_rates import Quantiles
    from detseg.pipeline.dataset_figures import VersionFigures
    from detseg.pipeline.dataset_folders import Written
    from detseg.pipeline.datasets import Trace

_MOST_PEOPLE = 10
_MOST_OFF = 6


def print_version(version: Version) -> None:
    """Print what a version holds, by class and split."""
    counts = version.counts
    regions = format_count(counts.regions, "region")
    say(f"{version.name} ({version.id[:12]}): {format_count(counts.images, 'image')} with {regions}")
    for name, figures in (("states", counts.states), ("left out", counts.left_out)):
        if figures:
            say(f"  {name}: " + ", ".join(f"{key} {n:,}" for key, n in figures.items()))
    if counts.duplicates.get("clusters"):
        say("  " + _describe_duplicates(counts.duplicates))
    if version.recipe.where:
        say(f"  where: {version.recipe.where}")
    rows = [("images", counts.images, counts.splits)]
    for label, n in counts.regions_by_class.items():
        parts = {split: counts.regions_by_split[split].get(label, 0) for split in counts.splits}
        rows.append((label, n, parts))
    say()
    print_table(
        ("", "all", *counts.splits),
        [(name, f"{n:,}", *(_share(parts[split], n) for split in counts.splits)) for name, n, parts in rows],
    )
    off = {key: max(map(abs, of.values())) for key, of in _deviations(version).items() if of}
    if off:
        furthest = sorted(off, key=lambda key: (key != "images", -off[key]))
        more = f", and {len(off) - _MOST_OFF:,} others by no more" if len(off) > _MOST_OFF else ""
        say()
        say(
            "off the shares by at most: "
            + ", ".join(f"{key} {off[key]:.1%}" for key in furthest[:_MOST_OFF])
            + more
        )


def _describe_duplicates(counts: Mapping[str, int]) -> str:
    images, clusters = (counts[key] for key in ("images", "clusters"))
    text = f"near duplicates: {format_count(images, 'image')} in {format_count(clusters, 'cluster')}"
    leaks = counts["leaks"]
    return text + (f", {format_count(leaks, 'pair')} on two sides" if leaks else "")


def _deviations(version: Version) -> dict[str, dict[str, float]]:
    """Return how far the shares of images, and of each class, are from those that were asked for."""
    from detseg.datasets.splits import share_deviations

    counts = version.counts
    by_split = {
        split: {"images": n, **counts.regions_by_split.get(split, {})} for split, n in counts.splits.items()
    }
    return share_deviations(version.recipe.split.get("shares") or {}, by_split)


def _share(part: int, whole: int) -> str:
    """Format a number, and what share of the whole it is."""
    return f"{part:,} ({part / whole:.1%})"


def version_json(version: Version) -> dict[str, Any]:
    """Put a version into words for a program."""
    counts = version.counts
    return {
        "name": version.name,
        "id": version.id,
        "created_at": version.created_at.isoformat(),
        "parent": version.parent,
        "images": counts.images,
        "regions": counts.regions,
        "states": dict(counts.states),
        "splits": dict(counts.splits),
        "classes": dict(counts.regions_by_class),
        "classes_by_split": {split: dict(one) for split, one in counts.regions_by_split.items()},
        "left_out": dict(counts.left_out),
        "duplicates": dict(counts.duplicates),
        "deviations": _deviations(version),
        "recipe": version.recipe.to_json(),
    }


def trace_json(trace: Trace) -> dict[str, Any]:
    """Put where a label is from into words for a program."""
    sample = trace.sample
    return {
        "version": trace.version.name,
        "image": sample.image,
        "file": sample.uri,
        "state": sample.state,
        "regions": len(sample.annotation().regions),
        "authors": list(sample.authors),
        "reviews": [one for one in sample.reviews if one > 0],  # an import has none in Label Studio
        "model_versions": list(sample.model_versions),
        "updated_at": sample.updated_at.isoformat() if sample.updated_at else None,
        "split": trace.split,
        "project": trace.version.recipe.project,
    }


def print_written(out: Path, done: Written, format_: str) -> None:
    """Print what was written, and on stderr which images were left out."""
    note_left_out(done.missing)
    regions = format_count(done.regions, "region")
    say(f"{out}: {format_count(done.images, 'image')} with {regions} as {format_}")
    for path in done.written:
        say(f"  {path}")
    if done.turned:
        say(f"{format_count(done.turned, 'image', 'was', 'were')} written anew, upright, without EXIF")


def written_json(done: Written) -> dict[str, Any]:
    """Put what was written into words for a program."""
    return {
        "images": done.images,
        "regions": done.regions,
        "written": list(map(str, done.written)),
        "lost": dict(done.lost),
        "missing": list(done.missing),
        "turned": done.turned,
    }


def print_figures(figures: VersionFigures) -> None:
    """Print what the version's own counts do not say."""
    labels = figures.labels
    _print_facts(labels)
    _print_images(labels)
    print_class_sizes(labels.per_class)
    _print_growth(figures.growth)
    _print_losses(figures.lost)


def spread(values: Quantiles, *, share: bool = False) -> str:
    """Format the median, and between which ends the middle eight tenths are.

    >>> from detseg.metrics.edit_rates import Quantiles
    >>> spread(Quantiles(9, 10.2, 12.0, 20.0, 30.0, 41.9)), spread(Quantiles(0, *[None] * 5))
    ('20 (10 to 42)', 'n/a')
    """
    if values.p10 is None or values.p50 is None or values.p90 is None:
        return "n/a"
    p10, p50, p90 = (
        f"{100 * value:.1f}" if share else f"{value:,.0f}" for value in (values.p10, values.p50, values.p90)
    )
    return f"{p50} ({p10} to {p90})"


def _print_facts(labels: DatasetFigures) -> None:
    most = sorted(labels.authors.items(), key=lambda one: (-one[1], one[0]))
    named = ", ".join(f"{author}: {n:,}" for author, n in most[:_MOST_PEOPLE])
    more = f", and {len(most) - _MOST_PEOPLE:,} more" if len(most) > _MOST_PEOPLE else ""
    say()
    say(f"people, by images: {named}{more}")
    say(f"width of images: {spread(labels.image_width_px)} px, height {spread(labels.image_height_px)} px")
    say(f"objects in an image: {spread(labels.objects_per_image)}")


def _print_images(labels: DatasetFigures) -> None:
    """Print how many images have each class, by split."""
    rows = []
    for label, one in labels.per_class.items():
        parts = (one.images_by_split.get(split, 0) for split in labels.splits)
        rows.append((label, f"{one.n_images:,}", *(f"{n:,}" for n in parts)))
    say()
    print_table(("images with", "all", *labels.splits), rows)


def print_class_sizes(per_class: Mapping[str, ClassFigures]) -> None:
    """Print how large the objects of each class are: two tables, for one is wider than a terminal."""
    say()
    print_table(
        ("class", "masks", "pixels", "small", "medium", "large"),
        [
            (
                label,
                f"{one.n_masks:,}",
                "n/a" if one.pixel_share is None else f"{one.pixel_share:.2%}",
                *(f"{n:,}" for n in one.sizes.values()),
            )
            for label, one in per_class.items()
        ],
    )
    say()
    print_table(
        ("class", "side in px", "% of the image"),
        [
            (label, spread(one.side_px), spread(one.share_of_image, share=True))
            for label, one in per_class.items()
        ],
    )
    say("pixels: the share that masks of the class cover; boxes cover nothing.")
    say("Small: below 32x32 pixels of area, large: from 96x96 on.")
    say("Side and share of the image: medians, with the middle eight tenths.")


def _print_growth(growth: tuple[VersionSize, ...]) -> None:
    if len(growth) < 2:
        return
    rows: list[tuple[str, ...]] = []
    images = objects = 0
    for one in growth:
        made = f"{one.created_at:%Y-%m-%d %H:%M}"
        gained = (f"{one.n_images - images:+,}", f"{one.n_objects - objects:+,}") if rows else ("", "")
        rows.append((one.name, made, f"{one.n_images:,}", gained[0], f"{one.n_objects:,}", gained[1]))
        images, objects = one.n_images, one.n_objects
    say()
    print_table(("version", "made (UTC)", "images", "", "objects", ""), rows)


def _print_losses(lost: Mapping[str, Mapping[str, int]]) -> None:
    say()
    whole = [name for name, losses in lost.items() if not losses]
    if whole:
        say(f"an export loses nothing as {', '.join(whole)}")
    for name, losses in lost.items():
        if losses:
            say(f"as {name} it loses " + ", ".join(f"{loss}: {n:,}" for loss, n in losses.items()))
