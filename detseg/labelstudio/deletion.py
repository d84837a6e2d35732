"""Deletes tasks that nobody has begun to work on, which the server itself decides."""

from __future__ import annotations

from detseg.labelstudio.filters import by_creation, by_id, without_annotations, without_drafts
from detseg.labelstudio.session import Session
from detseg.types import SeenTask


def delete_untouched(session: Session, project: int, task: SeenTask) -> None:
    """Deletes that task, if nobody has begun to work on it: no annotation, no skip, no draft.

    The server looks and deletes in one request, so that nothing falls between the two: whoever submits
    something meanwhile has it kept, or is told that the task is gone. Whether it is, says a look.
    """
    conditions = [
        by_id("equal", task.id),
        by_creation("equal", task.created_at),
        without_annotations(),
        without_drafts(),
    ]
    body = {
        "filters": {"conjunction": "and", "items": conditions},
        "ordering": [],
        "selectedItems": {"all": True, "excluded": []},
    }
    session.json("POST", "/api/dm/actions/", params={"id": "delete_tasks", "project": project}, body=body)
