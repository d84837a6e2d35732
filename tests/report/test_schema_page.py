"""docs/report.md says what the JSON holds, and holds what it says."""

import json
from dataclasses import fields, is_dataclass

from detseg.metrics.intervals import Estimate
from detseg.metrics.qa_result import QaResult
from detseg.pipeline.qa.figures_json import encode_figures
from tests.report.made import made_cases
from tests.report.reports import make_report
from tests.report.schema_page import PAGE, objects, with_schema


def test_the_page_shows_the_schema() -> None:
    assert PAGE.read_text() == with_schema(PAGE.read_text()), "python -m tests.report.schema_page"


def test_every_object_of_the_result_has_its_table() -> None:
    page = PAGE.read_text()
    found = objects(QaResult)
    assert Estimate in found
    assert all(f"\n#### {cls.__name__}\n" in page for cls in found)
    assert len({cls.__name__ for cls in found}) == len(found)  # the headings are links


def test_what_is_written_has_the_fields_that_the_page_names() -> None:
    whole = make_report(made_cases(12)).result
    for result in (whole, *(getattr(whole, field.name) for field in fields(whole))):
        if is_dataclass(result):
            written = json.loads(json.dumps(encode_figures(result), allow_nan=False))
            assert list(written) == [field.name for field in fields(result)]
            assert all(f"| `{field}` |" in PAGE.read_text() for field in written)
