"""What a run's table of figures says."""

from detseg.metrics.intervals import wilson
from detseg.pipeline.qa.answers import encode_estimate
from flows.artifacts import _figures


def test_a_figure_is_one_row_with_its_interval_and_what_it_lacks() -> None:
    report = {
        "images": 200,
        "box": {"ap": 0.58712345, "ap50": None},
        "saved": encode_estimate(wilson(180, 200), "score"),
        "too_few": encode_estimate(wilson(3, 5), "score"),
        "nothing": encode_estimate(wilson(0, 0), "score"),
        "notes": ["a", "b"],
        "report": "/report.html",
    }
    assert list(_figures(report)) == [
        ("images", "200", ""),
        ("box.ap", "0.5871", ""),
        ("box.ap50", "n/a", ""),
        ("saved", "0.900", "0.851 to 0.934"),
        ("too_few", "0.600", "0.231 to 0.882; too few to act on: 19 more images"),
        ("nothing", "n/a", ""),
        ("notes", "2", ""),
        ("report", "/report.html", ""),
    ]
