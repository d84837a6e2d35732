"""The data manager's queries: which of a project's tasks are asked for, and in which order.

    build_query([by_id("greater", 17), by_data(KEY, "empty", False)])      # both hold; by ascending id

As the server wants them; ``operator`` is its own word (``equal``, ``greater``, ``in_list``, ``empty``, ...).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from detseg.labelstudio.session import Json


def by_id(operator: str, value: int | Sequence[int]) -> Json:
    """Tasks by their ids."""
    return _filter("id", operator, "Number", value)


def by_count(name: str, operator: str, value: int) -> Json:
    """Tasks by one of their counts, for instance ``total_annotations``."""
    return _filter(name, operator, "Number", value)


def by_data(name: str, operator: str, value: str | bool | Sequence[str]) -> Json:
    """Tasks by a field of their data."""
    return _filter(f"data.{name}", operator, "String", value)


def by_change(operator: str, moment: datetime) -> Json:
    """Tasks by when they changed. Raises ValueError for a moment without a time zone."""
    return _by_moment("updated_at", operator, moment)


def by_creation(operator: str, moment: datetime) -> Json:
    """Tasks by when they were made. Raises ValueError for a moment without a time zone."""
    return _by_moment("created_at", operator, moment)


def without_annotations() -> Json:
    """Tasks without any annotation, skipped or not."""
    return _filter("annotations_ids", "empty", "String", True)


def without_drafts() -> Json:
    """Tasks without any draft."""
    return _filter("draft_exists", "equal", "Boolean", False)


def with_drafts() -> Json:
    """Tasks with a draft."""
    return _filter("draft_exists", "equal", "Boolean", True)


def by_text(name: str, part: str) -> Json:
    """Tasks by a part of the JSON of their ``annotations_results`` or ``predictions_results``."""
    return _filter(name, "contains", "String", part)


def build_query(filters: Sequence[Json], *, order: str = "tasks:id", selected: Sequence[int] = ()) -> str:
    """The ``query`` of a request for tasks: all filters hold, of the ``selected`` ones if there are any."""
    query: Json = {"filters": {"conjunction": "and", "items": list(filters)}, "ordering": [order]}
    if selected:
        query["selectedItems"] = {"all": False, "included": list(selected)}
    return json.dumps(query)


def _by_moment(name: str, operator: str, moment: datetime) -> Json:
    """UTC with microseconds and Z is the only form that the server takes."""
    if moment.tzinfo is None:
        raise ValueError("a moment on the server has a time zone")
    value = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return _filter(name, operator, "Datetime", value)


def _filter(name: str, operator: str, kind: str, value: Any) -> Json:
    return {"filter": f"filter:tasks:{name}", "operator": operator, "type": kind, "value": value}
