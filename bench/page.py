"""The page of results: ratios first, then seconds, memory, and what they mean for a choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import GFLOP, Figure, over_rounds, repays_from, times_faster, together

_ANSWERS = {"both": "boxes and masks", "detection": "boxes only"}
_NA = "n/a"


def write_page(results: Mapping[str, Any], page: Path) -> None:
    parts = (
        _opening(results),
        _both(results),
        _detection(results),
        _forward(results),
        _compiling(results),
        _agreement(results),
        _memory(results),
        _choosing(results),
        _again(results),
    )
    page.write_text("\n\n".join("\n".join(part) for part in parts) + "\n", encoding="utf-8")


def _opening(results: Mapping[str, Any]) -> Iterator[str]:
    machine, plan, versions = results["machine"], results["plan"], results["versions"]
    rates = {name: median(values) for name, values in results["gflop_per_s"].items()}
    yield "# Benchmarks\n"
    yield "This page is written by `make bench`, which runs everything below side by side on one machine.\n"
    yield (
        f"The task: photos of 640x480 pixels, resized to 800 on the shorter edge, DETR-R50, "
        f"{plan['n_survivors']} of its 100 queries above the threshold. The weights are made up, for they do "
        f"not change the cost. Every figure is a median of {plan['rounds']} rounds with the lowest and the "
        "highest in brackets; the contenders take turns in every round, and a ratio is taken within a round. "
        "Loading and compiling come before and are not in the seconds. Absolute seconds are of this machine; "
        "ratios carry further.\n"
    )
    yield from _table(
        ("", "the machine"),
        (
            ("processor", machine["processor"]),
            ("threads", machine["threads"]),
            ("features", ", ".join(machine["features"])),
            ("3x3 convolution, float32", f"{rates['float32']:,.0f} GFLOP/s"),
            ("3x3 convolution, bfloat16", f"{rates['bfloat16']:,.0f} GFLOP/s"),
            ("system", f"{machine['system']}, Python {machine['python']}"),
            ("versions", ", ".join(f"{name} {number}" for name, number in versions.items() if number)),
        ),
    )


def _both(results: Mapping[str, Any]) -> Iterator[str]:
    seconds = results["seconds"]
    columns = together(seconds, "pixeltable, detection", "pixeltable, segmentation")
    recipe = together(seconds, "transformers, detection", "transformers, segmentation")
    rows = [
        ("pixeltable, two columns", columns, results["peak_bytes"].get("pixeltable")),
        ("transformers, pipeline and panoptic model", recipe, _peak_of_recipe(results)),
        *((row, seconds[row], results["peak_bytes"].get(row)) for row in _rows(seconds, "both")),
    ]
    yield "## Boxes and panoptic masks\n"
    yield (
        "How many photos in the time of one. pixeltable computes the columns `detr_for_object_detection` and "
        "`detr_for_segmentation`, one image per insert. transformers runs its object-detection pipeline and "
        "`DetrForSegmentation` with its own post-processing, in float32, not compiled; its memory is that of "
        "the larger of the two. detseg is the command `detseg predict --segmenter MODEL --no-pictures`: "
        "image files in, one JSON file with boxes and masks out, both from one forward pass.\n"
    )
    head = ("", "times pixeltable", "times transformers", "s per photo", "peak memory")
    yield from _table(
        head,
        (
            (
                _shown(name),
                _figure(times_faster(columns, s)),
                _figure(times_faster(recipe, s)),
                _seconds(s),
                _bytes(peak),
            )
            for name, s, peak in rows
            if s
        ),
    )
    for name, reason in results["failed"].items():
        yield f"\n{name} did not finish: {reason}."
    if not results["versions"].get("pixeltable"):
        yield "\npixeltable did not take part in this run."


def _detection(results: Mapping[str, Any]) -> Iterator[str]:
    seconds = results["seconds"]
    names = ["pixeltable, detection", "transformers, detection", *_rows(seconds, "detection")]
    column, pipeline = (seconds.get(name) for name in names[:2])
    yield "## Boxes only\n"
    yield "`detseg predict --detector MODEL --no-pictures` beside the column and the pipeline.\n"
    yield from _table(
        ("", "times pixeltable", "times transformers", "s per photo"),
        (
            (
                _shown(name),
                _figure(times_faster(column, seconds[name])),
                _figure(times_faster(pipeline, seconds[name])),
                _seconds(seconds[name]),
            )
            for name in names
            if seconds.get(name)
        ),
    )


def _forward(results: Mapping[str, Any]) -> Iterator[str]:
    seconds, rates = results["seconds"], results["gflop_per_s"]
    floors = [GFLOP / rate for rate in rates["bfloat16"]]
    yield "## How much of it is the network\n"
    yield (
        "The bare forward pass takes prepared inputs and gives raw outputs: no file is read, nothing is "
        "resized, no mask encoded. The share is its seconds by those of the whole command, whose start and "
        f"end count. DETR-R50 needs about {GFLOP:.0f} GFLOP for such a photo; at the machine's "
        f"bfloat16 convolution rate that takes {median(floors):.2f} s, the floor.\n"
    )
    yield from _table(
        ("", "forward pass, s", "share of the command", "command by the floor"),
        (
            (
                _shown(row, answer),
                _seconds(seconds.get(f"{row}, forward pass")),
                _figure(times_faster(seconds.get(f"{row}, forward pass"), seconds[row]), unit=""),
                _figure(times_faster(seconds[row], floors)) if answer == "both" else "",
            )
            for answer in _ANSWERS
            for row in _rows(seconds, answer)
        ),
    )


def _compiling(results: Mapping[str, Any]) -> Iterator[str]:
    yield "## Compiling\n"
    yield (
        "What the first forward passes take longer than later ones, with an empty compiler's cache, and the "
        "number of photos from which that is won back against the eager engine of the same precision. "
        "`--engine auto` compiles from a fixed number of photos on.\n"
    )
    yield from _table(
        ("", "to compile, s", "repaid from"),
        (
            (_shown(row, row.rpartition(", ")[2]), f"{compile_s:.0f}", _repaid(results, row))
            for row, compile_s in results["compile_s"].items()
        ),
    )


def _agreement(results: Mapping[str, Any]) -> Iterator[str]:
    yield "## Do the answers stay the same\n"
    yield (
        f"Answers over {results['plan']['n_photos']} photos against those of the eager engine in float32: "
        "panoptic quality with these as the truth (1 is equal), the share of boxes without a partner of the "
        "same label and an IoU of at least 0.95, and the share of pixels with another label. With made-up "
        "weights this says how far rounding goes, not how it affects a trained model's accuracy.\n"
    )
    yield from _table(
        ("", "panoptic quality", "boxes that change", "pixels that change"),
        (
            (
                name,
                _NA if one["pq"] is None else f"{one['pq']:.4f}",
                f"{one['boxes_changed']:.2%} of {one['n_boxes']}",
                f"{one['pixels_changed']:.3%}",
            )
            for name, one in results["agreement"].items()
        ),
    )


def _memory(results: Mapping[str, Any]) -> Iterator[str]:
    yield "## Memory of many images\n"
    yield (
        "The most memory that the process of `detseg predict` held, by the number of images: 96x96 pixels, a "
        "model of a few thousand weights, eager. DETR-R50's memory is in the first table.\n"
    )
    yield from _table(
        ("images", "peak memory"),
        ((f"{int(n):,}", _bytes(peak)) for n, peak in results["memory"].items()),
    )


def _choosing(results: Mapping[str, Any]) -> Iterator[str]:
    seconds = results["seconds"]
    yield "## Choosing engine and precision\n"
    rows = _rows(seconds, "both")
    if rows:
        best = min(rows, key=lambda row: median(seconds[row]))
        yield f"- Boxes and masks were fastest with {_shown(best)}: {_seconds(seconds[best])} s per photo."
    for engine in ("eager", "compile"):
        exact, half = (f"detseg, {engine}, {precision}, both" for precision in ("float32", "bfloat16"))
        figure = times_faster(seconds.get(exact), seconds.get(half))
        changed = results["agreement"].get(f"{engine}, bfloat16")
        if figure and changed:
            yield (
                f"- `--engine {engine}`: bfloat16 did {figure.median:.2f} photos in the time of one in "
                f"float32, and {changed['pixels_changed']:.2%} of the pixels changed their label."
            )
    for row in results["compile_s"]:
        if row.endswith("both"):
            yield f"- `--engine compile` in {row.split(', ')[2]}: {_repaid_in_words(results, row)}."


def _again(results: Mapping[str, Any]) -> Iterator[str]:
    yield "## Running it again\n"
    yield (
        f"`make bench` took {results['wall_s'] / 60:.0f} minutes for this page. It needs 24 GB of memory and "
        "nothing else that runs; the first run installs pixeltable into an environment of its own. It reads "
        "its photos from a folder of JPEG files:\n"
    )
    yield "```sh"
    yield 'make bench BENCH="--photos path/to/photos"'
    yield 'make bench BENCH="--photos path/to/photos --no-pixeltable --rounds 3"'
    yield "```\n"
    yield "All that was measured is in `build/bench/results.json`, round by round."


def _rows(seconds: Mapping[str, Any], answer: str) -> list[str]:
    return [row for row in seconds if row.startswith("detseg") and row.endswith(f", {answer}")]


def _shown(row: str, answer: str = "") -> str:
    """``detseg, eager, float32, both`` is shown without the answer, or with what the answer is."""
    name = row
    for key in _ANSWERS:
        if row.startswith("detseg"):
            name = name.removesuffix(f", {key}")
    return f"{name}, {_ANSWERS[answer]}" if answer else name


def _repaid(results: Mapping[str, Any], row: str) -> str:
    seconds, eager = results["seconds"], row.replace("compile", "eager")
    if not (seconds.get(row) and seconds.get(eager)):
        return _NA
    n = repays_from(results["compile_s"][row], seconds[eager], seconds[row])
    return "never" if n is None else f"{n:,} photos"


def _repaid_in_words(results: Mapping[str, Any], row: str) -> str:
    seconds = f"{results['compile_s'][row]:.0f} s to compile"
    repaid = _repaid(results, row)
    if repaid in ("never", _NA):
        return f"{seconds}, not won back here"
    return f"{seconds}, won back from {repaid} on"


def _peak_of_recipe(results: Mapping[str, Any]) -> int | None:
    peaks = [results["peak_bytes"].get(f"transformers, {task}") for task in ("detection", "segmentation")]
    return max((peak for peak in peaks if peak), default=None)


def _figure(figure: Figure | None, *, unit: str = "x") -> str:
    if figure is None:
        return _NA
    digits = 2 if figure.median < 10 else 1
    low, middle, high = (f"{value:.{digits}f}" for value in (figure.low, figure.median, figure.high))
    return f"{middle}{unit} ({low} to {high})"


def _seconds(values: Sequence[float] | None) -> str:
    return _figure(over_rounds(values), unit="") if values else _NA


def _bytes(value: int | None) -> str:
    return _NA if value is None else f"{value / 1e9:.2f} GB"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"
