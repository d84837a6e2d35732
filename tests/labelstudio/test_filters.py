"""Queries of the data manager in the server's own words."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from detseg.labelstudio.filters import build_query, by_change, by_count, by_data, by_id


def test_all_filters_hold_and_ids_ascend() -> None:
    query = json.loads(build_query([by_id("greater", 17), by_count("total_annotations", "equal", 0)]))
    assert query == {
        "filters": {
            "conjunction": "and",
            "items": [
                {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": 17},
                {
                    "filter": "filter:tasks:total_annotations",
                    "operator": "equal",
                    "type": "Number",
                    "value": 0,
                },
            ],
        },
        "ordering": ["tasks:id"],
    }


def test_some_ids_in_another_order() -> None:
    filters = [by_data("image_id", "in_list", ("a", "b"))]
    query = json.loads(build_query(filters, order="tasks:updated_at", selected=(3, 4)))
    assert query["ordering"] == ["tasks:updated_at"]
    assert query["selectedItems"] == {"all": False, "included": [3, 4]}
    (item,) = query["filters"]["items"]
    assert (item["filter"], item["type"]) == ("filter:tasks:data.image_id", "String")
    assert item["value"] == ["a", "b"]


@pytest.mark.parametrize("moment", ["2026-03-01T12:00:00+00:00", "2026-03-01T17:00:00+05:00"])
def test_moments_are_in_the_only_form_that_the_server_takes(moment: str) -> None:
    assert by_change("equal", datetime.fromisoformat(moment))["value"] == "2026-03-01T12:00:00.000000Z"
    assert by_change("equal", datetime(2026, 3, 1, 12, 0, 0, 5, UTC))["value"].endswith("00.000005Z")


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        by_change("greater", datetime(2026, 3, 1))
