"""What a run's table of figures says."""

from detseg.metrics.intervals import wilson
from detseg.pipeline.qa.figures_json import encode_figures
from flows.artifacts import _figures


def test_a_figure_is_one_row_with_its_interval() -> None:
    report = {
        "images": 200,
        "box": {"ap": 0.58712345, "ap50": None},
        "saved": encode_figures(wilson(180, 200)),
        "too_few": encode_figures(wilson(3, 5)),
        "notes": ["a", "b"],
        "report": "/report.html",
    }
    assert list(_figures(report)) == [
        ("images", "200", ""),
        ("box.ap", "0.5871", ""),
        ("box.ap50", "n/a", ""),
        ("saved", "0.9", "0.8506 to 0.9343"),
        ("too_few", "n/a", "5 images; 366 are needed"),
        ("notes", "2", ""),
        ("report", "/report.html", ""),
    ]
