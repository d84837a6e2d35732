"""``docs/study.md``: what the study found, written from its results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.study.measure import IOUS

GOAL, AIM, EQUAL = 0.5, 0.6, 0.01
"""The saving wanted at least, the one aimed at, and what the F1 of equal labels may differ by."""

HELD = 0.93

_INTRODUCTION = """\
# What a loop that learns saves

Written by `make study`. **The people of this study are simulated.** The images, the true labels, the
models, their trainings and their predictions are real: each round, the commands `detseg import`, `dataset
create`, `train` and `predict` run as a user would run them, on two CPU cores. What people do with the
predictions, and the seconds that it takes them, is drawn from the assumptions below, with errors like those
of people. So this page says what the loop saves *if* people are like that, and [how much that depends on
it](#if-the-assumptions-are-wrong). What it saves yours, `detseg qa` measures against [control
images](experiments.md).

The first images are labeled by hand. A model learns from them, beginning with the small detector that came
with detseg in November 2026, or for masks with the backbone of the small segmenter that comes with it,
under a new head (`training.head = "upernet"`). Both have only ever seen made-up metal parts. The model
pre-annotates the next images, simulated people correct them, the model learns on from all labels so far,
mistakes of people included, and so on for three rounds. Beside that, the same people label the same images
by hand, as if they had never seen them.
"""

_WIDEST = 2
"""An interval of a saving that is wider says nothing, and single ones make any mean of widths."""

_WORDS = {
    "draw_s": ("draw a region, s", "published"),
    "correct_s": ("nudge a box or repair a mask, s", "boxes: assumed, half a drawing; masks: published"),
    "check_s": ("look at a shown region and leave it, s", "assumed"),
    "delete_s": ("delete a region, s", "assumed"),
    "relabel_s": ("give a region another label, s", "assumed"),
    "look_s": ("look an image through, in both arms, s", "assumed"),
    "person_spread": ("people's speeds: standard deviation of the logarithm", "assumed"),
    "image_spread": ("times of one person for equal work: the same", "assumed"),
    "missed": ("an object that is overlooked by hand", "assumed"),
    "missed_with_help": (
        "an object that the model lacks and that is overlooked with help",
        "assumed, worse than by hand",
    ),
    "mislabeled": ("a wrong label on what is drawn", "assumed"),
    "waved_through": ("a false region or wrong label of the model that stays", "assumed"),
    "accept_iou": ("overlap (IoU) from which a shown region is left as it is", "assumed"),
    "care_spread": ("standard deviation of that between people", "assumed"),
    "look_spread": ("and of one person from look to look", "assumed"),
    "hand_iou": ("mean overlap of what people draw with the truth", "assumed"),
}

_SOURCES = """\
Published: a box takes 35 s by the protocol of ILSVRC, and 7 s by extreme clicks at the same quality
(Papadopoulos et al., "Extreme clicking for efficient object annotation", ICCV 2017); a mask takes 80 s in
COCO (arXiv 2212.07911), and correcting one interactively is three times as fast as drawing its polygon
(Benenson, Popov and Ferrari, "Large-scale interactive object segmentation with human annotators", CVPR
2019). The others are assumed. A look at a shown region has 7 s as its upper end, for in these a whole box
is drawn. All seconds are means; times are lognormal.
"""


def write_page(results: Sequence[Mapping[str, Any]], page: Path, *, chart: str) -> None:
    """Write the page of those data sets; ``chart`` is its picture, beside the page."""
    page.write_text("\n".join(render(results, chart=chart)) + "\n")


def render(results: Sequence[Mapping[str, Any]], *, chart: str) -> Iterator[str]:
    """The lines of the page."""
    yield _INTRODUCTION
    yield from _assumptions(results)
    yield from _outcome(results)
    yield from _rounds(results, chart)
    yield from _labels(results)
    yield from _intervals(results)
    yield from _sensitivity(results)
    yield from _how_to(results)


def _ways(results: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    for one in results:
        for name, way in one["ways"].items():
            yield one, f"{one['name']}, {name}", way


def _assumptions(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ways = list(_ways(results))
    rows = [
        (words, *(f"{way['assumed'][name]:g}" for _, _, way in ways), source)
        for name, (words, source) in _WORDS.items()
    ]
    yield "## What is assumed of people\n"
    yield from _table(("", *(name for _, name, _ in ways), "from"), rows)
    yield f"\n{_SOURCES}"


def _outcome(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## What it saves\n"
    yield (
        f"Wanted: {_percent(GOAL)} of people's time over three rounds (aim: {_percent(AIM)}), with "
        f"labels that are as good: F1 against the truth not more than {EQUAL} lower. *Saving* is that "
        "of the generator, the mean over many simulated people; *printed* is what one set of them "
        "shows, with the interval that holds for people like them; *with the first images*, which "
        "were drawn in both arms, is the saving of the whole project."
    )
    yield ""
    rows = []
    for _, name, way in _ways(results):
        low, high = way["printed"]
        worst = min(way["quality"]["difference"])
        rows.append(
            (
                name,
                f"**{_percent(way['saving'])}**",
                f"{_percent(low)} to {_percent(high)}",
                _percent(way["saving_with_first_round"]),
                *(f"{value:+.3f}" for value in way["quality"]["difference"]),
                _verdict(way["saving"], worst),
            )
        )
    heads = [f"F1 at IoU {iou:g}, with help \N{MINUS SIGN} by hand" for iou in IOUS]
    yield from _table(("", "saving", "printed", "with the first images", *heads, ""), rows)
    yield ""


def _verdict(saving: float, difference: float) -> str:
    reached = "aim met" if saving >= AIM else "goal met" if saving >= GOAL else "**goal missed**"
    quality = "labels as good" if difference >= -EQUAL else "**labels worse**"
    return f"{reached}, {quality}"


def _rounds(results: Sequence[Mapping[str, Any]], chart: str) -> Iterator[str]:
    yield "## Round by round\n"
    yield f"![Minutes per image by round, by hand and with help; simulated people]({chart})\n"
    rows = []
    for _, name, way in _ways(results):
        pairs = zip(way["minutes_by_hand"], way["minutes_with_help"], strict=True)
        cells = [f"{hand:.1f} \N{RIGHTWARDS ARROW} {helped:.1f}" for hand, helped in pairs]
        rows.append((name, f"{way['minutes_first_round']:.1f}", *cells))
    n = len(results[0]["models"])
    yield "Minutes per image, by hand \N{RIGHTWARDS ARROW} with help:\n"
    yield from _table(("", "first images", *(f"round {i + 1}" for i in range(n))), rows)
    yield "\nThe models, each measured on the images of its round, which it had never seen:\n"
    models = [
        (
            f"{one['name']}, round {number}",
            f"{sum(model['n_images'].values())}",
            f"{model['steps']:,}",
            f"{model['cpu_seconds'] / 120.0:.1f}",
            _number(model["ap"]),
            _number(model["ap50"]),
        )
        for one in results
        for number, model in enumerate(one["models"], 1)
    ]
    heads = ("", "labeled images", "steps", "minutes of training on two cores", "AP", "AP50")
    yield from _table(heads, models)
    yield "\nMinutes on two cores are the processor's time, halved: the machine had other work.\n"
    for one in results:
        if one["remark"]:
            yield f"{one['remark']}\n"


def _labels(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## What help does to labels\n"
    yield (
        "Whoever is shown a region that is nearly right leaves it as it is. So labels that were made "
        "with help have the model's shapes in them, and its errors below the eye's measure; on the "
        "other hand the model finds what people overlook. Against the truth, as a mean over "
        "simulated people:"
    )
    yield ""
    rows = []
    for _, name, way in _ways(results):
        q, edits = way["quality"], way["edits"]
        rows.append(
            (
                name,
                *(
                    f"{hand:.3f} \N{RIGHTWARDS ARROW} {helped:.3f}"
                    for hand, helped in zip(q["f1_by_hand"], q["f1_with_help"], strict=True)
                ),
                f"{q['iou_by_hand']:.3f} \N{RIGHTWARDS ARROW} {q['iou_with_help']:.3f}",
                _percent(edits["share_taken"]),
                _number(edits["taken_iou"]),
                "n/a" if edits["taken_below_75"] is None else _percent(edits["taken_below_75"]),
            )
        )
    heads = (
        "by hand \N{RIGHTWARDS ARROW} with help",
        *(f"F1 at IoU {iou:g}" for iou in IOUS),
        "mean IoU",
        "shapes taken from the model",
        "their IoU",
        "of these below 0.75",
    )
    yield from _table(heads, rows)
    yield "\nEdits per image with help:\n"
    kinds = ("kept", "moved", "reshaped", "relabeled", "deleted", "added")
    edits = [
        (name, *(f"{way['edits']['per_image'].get(kind, 0.0):.1f}" for kind in kinds))
        for _, name, way in _ways(results)
    ]
    yield from _table(("", *kinds), edits)
    yield ""


def _intervals(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    saving = ", ".join(
        f"{_percent(way['saving_for_labels'])} instead of {_percent(way['saving'])} ({name})"
        for _, name, way in _ways(results)
    )
    yield "## How often the intervals hold\n"
    yield (
        "People are simulated anew over the same predictions, by as many seeds. The printed interval "
        "takes people as its units, so it is about people like these. That of `detseg qa` takes "
        "images as its units: it is about the people who were measured, and what these save is the "
        "truth that it has to hold. Where people differ in how much they leave as it is, it says too "
        "little about others. It asks what the labels that people left would have taken by hand, and "
        "with help they leave a few more, for the model finds what people overlook, and some of its "
        f"false regions stay: {saving}. Wanted: {_percent(HELD)}."
    )
    yield ""
    rows = []
    for _, name, way in _ways(results):
        for what, held in way["held"].items():
            share = held["n_held"] / held["n"]
            wanted = "all people" not in what
            verdict = "" if not wanted else "met" if share >= HELD else "**missed**"
            words = "printed" if what == "people" else what.replace("estimator", "`detseg qa`")
            width = f"{held['width']:.3f}" if held["width"] < _WIDEST else f"above {_WIDEST}"
            rows.append((name, words, f"{held['n_held']} of {held['n']}", width, verdict))
    yield from _table(("", "interval", "held", "mean width", ""), rows)
    yield ""


def _sensitivity(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## If the assumptions are wrong\n"
    yield (
        "The saving where one assumption is half or twice what it is above (of an IoU, its distance "
        f"to 1), and in brackets the difference of F1 at IoU {IOUS[-1]:g} where labels depend on it. "
        "The models stay the same."
    )
    for _, name, way in _ways(results):
        yield f"\n### {name}\n"
        rows = []
        for which, ends in way["sensitivity"].items():
            cells = [
                _percent(end["saving"])
                + ("" if end["difference"] is None else f" ({end['difference']:+.3f})")
                for end in ends
            ]
            values = [f"{end['value']:.3g}" for end in ends]
            here = f"{way['assumed'][which]:.3g}"
            rows.append((_WORDS[which][0], f"{values[0]}, {here}, {values[1]}", *cells))
        yield from _table(("assumption", "half, as it is, twice", "half", "twice"), rows)
    yield ""


def _how_to(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    steps = ", ".join(
        f"{sum(model['steps'] for model in one['models']):,} steps of `{one['name']}`" for one in results
    )
    yield "## How to run it\n"
    yield (
        f"`make study` goes through all of it ({steps}), and goes on where it was stopped: what was "
        "trained, predicted and labeled stays in `build/study/`. `make study ONLY=bccd` takes one "
        "data set and leaves the figures of the other on this page (`study.json`, beside it, has all of "
        "them); without trainings, the simulations take some minutes. It reads `../shared/data`, "
        "whose images are not part of the repository, so pictures of what models found and people "
        "left are in `build/study/pictures/` only."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(['---', *('--:' for _ in heads[1:])])} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _percent(value: float) -> str:
    return f"{100.0 * value:.0f} %"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
