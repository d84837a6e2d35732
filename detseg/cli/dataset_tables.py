"""The figures of a dataset version as tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.cli.output import print_table, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detseg.datasets.figures import ClassFigures, DatasetFigures, VersionSize
    from detseg.metrics.edit_rates import Quantiles
    from detseg.pipeline.dataset_figures import VersionFigures

_MOST_PEOPLE = 10


def print_figures(figures: VersionFigures) -> None:
    """Print what the version's own counts do not say."""
    labels = figures.labels
    _print_facts(labels)
    _print_images(labels)
    _print_sizes(labels.per_class)
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


def _print_sizes(per_class: Mapping[str, ClassFigures]) -> None:
    say()
    print_table(
        ("class", "masks", "pixels", "small", "medium", "large", "side in px", "% of the image"),
        [
            (
                label,
                f"{one.n_masks:,}",
                "n/a" if one.pixel_share is None else f"{one.pixel_share:.2%}",
                *(f"{n:,}" for n in one.sizes.values()),
                spread(one.side_px),
                spread(one.share_of_image, share=True),
            )
            for label, one in per_class.items()
        ],
    )
    say("pixels: the share that masks of the class cover; boxes cover nothing. Small: below 32x32 pixels of")
    say("area, large: from 96x96 on. Medians, with the middle eight tenths.")


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
