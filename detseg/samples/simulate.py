"""Sends what the simulated reviewer decides to Label Studio, with the request that the page's Submit sends.

The reviews carry the user ``simulated-reviewer@detseg.invalid``, whom the page shows as "Simulated reviewer",
so they are told from people's work on the server itself, and in every catalog that is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import SIMULATED_EMAIL, decode_task, encode_regions, is_ours
from detseg.samples.reviewer import ReviewerHabits, SimulatedReview, review
from detseg.taxonomy import Taxonomy
from detseg.types import Annotation, ImageId

Json = Mapping[str, Any]
TruthOf = Callable[[ImageId], Annotation | None]
"""The truth of an image, None if it is not known."""


@dataclass(frozen=True, slots=True)
class SimulatedReviewer:
    """Works off a project's queue in the name of the simulated user.

    Of the truth, only what ``taxonomy`` has is asked for. Equal seeds make equal decisions, whatever the
    order of the tasks.
    """

    client: LabelStudioClient
    taxonomy: Taxonomy
    truth_of: TruthOf
    habits: ReviewerHabits = field(default_factory=ReviewerHabits)
    seed: int = 0

    def review_all(self, project: int) -> Iterator[tuple[int, SimulatedReview]]:
        """Submits every task that has no annotation yet and whose truth is known: (task id, what was made).

        A task that anybody has annotated is left alone, so doing it again adds nothing.
        """
        user = self.client.ensure_user(SIMULATED_EMAIL, first_name="Simulated", last_name="reviewer")
        for task in self.client.tasks(project):
            truth = self.truth_of(ImageId(task["data"]["image_id"])) if is_ours(task) else None
            if truth is None or task["annotations"]:
                continue
            yield int(task["id"]), self._submit(task, truth, user)

    def _submit(self, task: Json, truth: Annotation, user: int) -> SimulatedReview:
        number, prediction = _shown(task, self.taxonomy)
        asked = tuple(region for region in truth.regions if region.instance.label in self.taxonomy.names)
        truth = replace(truth, regions=asked)
        made = review(prediction, truth, rng=_generator(self.seed, prediction.image), habits=self.habits)
        self.client.create_annotation(
            int(task["id"]),
            encode_regions(made.regions, truth.size, self.taxonomy, where=f"review of task {task['id']}"),
            lead_time_s=made.lead_time_s,
            was_cancelled=made.state == "skipped",
            parent_prediction=number,
            completed_by=user,
        )
        return made


def _shown(task: Json, taxonomy: Taxonomy) -> tuple[int | None, Annotation]:
    """Return what the page opens a task with: its newest prediction and that one's id; nothing if there is
    none."""
    newest = max(task["predictions"], key=lambda prediction: int(prediction["id"]), default=None)
    entry = {"id": 0, "updated_at": task["updated_at"], "result": newest["result"] if newest else []}
    decoded = decode_task({**task, "annotations": [entry]}, taxonomy)
    annotation = replace(decoded.reviews[0].annotation, author=newest["model_version"] if newest else "")
    return (int(newest["id"]) if newest else None), annotation


def _generator(seed: int, image: ImageId) -> np.random.Generator:
    """Chance that depends on the seed and the image alone."""
    return np.random.default_rng([seed, int(image.removeprefix("sha256:")[:16], 16)])
