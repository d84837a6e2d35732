"""All rules over all images, and the worst of what they find."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field

from detseg.metrics.cases import Case
from detseg.metrics.suspects.findings import ImageQuality, RuleCount, Suspect, Suspects
from detseg.metrics.suspects.options import SuspectOptions
from detseg.metrics.suspects.quality import QualityTally, summarize_quality
from detseg.metrics.suspects.rules import RULE_OF, RULES
from detseg.metrics.suspects.scene import Finding, Scene, build_context
from detseg.metrics.weeks import WeekTally
from detseg.taxonomy import Taxonomy
from detseg.types import ImageId

_FINDERS = tuple(dict.fromkeys(rule.find for rule in RULES if rule.find is not None))
"""A rule finds a region at most once, and the surer of two findings of one rule stands."""


@dataclass(slots=True)
class SuspectTally:
    """Adds up images, each once; ``keep`` suspects at most are kept, the counts are complete."""

    taxonomy: Taxonomy
    options: SuspectOptions = field(default_factory=SuspectOptions)
    keep: int = 1000
    _kept: list[Suspect] = field(default_factory=list, init=False)
    _n_suspects: Counter[str] = field(default_factory=Counter, init=False)
    _n_images: Counter[str] = field(default_factory=Counter, init=False)
    _n_judged: int = field(default=0, init=False)
    _suspect_images: set[ImageId] = field(default_factory=set, init=False)
    _quality: QualityTally = field(default_factory=QualityTally, init=False)
    _weeks: WeekTally = field(default_factory=WeekTally, init=False)

    def add(self, case: Case) -> None:
        """Applies every rule. Leaves out an image without a review that counts, and one of known truth."""
        scene = build_context(case, self.taxonomy, self.options)
        if scene is None:
            return
        self._n_judged += 1
        self._quality.add(scene)
        found = _suspects_of(scene)
        self._n_suspects.update(suspect.rule for suspect in found)
        self._n_images.update({suspect.rule for suspect in found})
        self._suspect_images.update(suspect.image for suspect in found[:1])
        named = {suspect.region for suspect in found if suspect.region is not None}
        regions = {region.id for region in scene.truth.regions} | named
        self._weeks.add(scene.truth.updated_at, len(named), len(regions), who=scene.truth.author)
        self._kept += found
        if len(self._kept) > 2 * self.keep:
            self._kept = heapq.nsmallest(self.keep, self._kept, key=_rank)

    def result(self) -> Suspects:
        """The worst so far, and complete counts."""
        scores = self._quality.scores()
        low = [_low(one) for one in scores if one.quality <= self.options.max_quality]
        n_suspects = self._n_suspects + Counter(suspect.rule for suspect in low)
        n_images = self._n_images + Counter(suspect.rule for suspect in low)
        return Suspects(
            n_images=self._n_judged,
            n_suspects=n_suspects.total(),
            n_suspect_images=len(self._suspect_images | {suspect.image for suspect in low}),
            ranked=tuple(heapq.nsmallest(self.keep, [*self._kept, *low], key=_rank)),
            per_rule={rule.name: RuleCount(n_suspects[rule.name], n_images[rule.name]) for rule in RULES},
            quality=summarize_quality(scores, keep=self.keep),
            weeks=self._weeks.result(),
        )


def _suspects_of(scene: Scene) -> tuple[Suspect, ...]:
    """Apply the rules, each at most once for a region: the surer finding stands."""
    surest: dict[tuple[str, str | None], Finding] = {}
    for finding in (finding for find in _FINDERS for finding in find(scene)):
        key = (finding.rule, finding.region.id if finding.region else None)
        known = surest.get(key)
        if known is None or finding.sure > known.sure:
            surest[key] = finding
    return tuple(sorted((_suspect(scene, finding) for finding in surest.values()), key=_rank))


def _suspect(scene: Scene, finding: Finding) -> Suspect:
    region = finding.region
    return Suspect(
        image=scene.case.image,
        task_id=scene.case.task_id,
        task_url=scene.case.task_url,
        region=region.id if region else None,
        label=region.instance.label if region else None,
        author=scene.truth.author,
        rule=finding.rule,
        score=finding.sure * RULE_OF[finding.rule].cost,
        reason=finding.reason,
        box=finding.box,
    )


def _low(quality: ImageQuality) -> Suspect:
    return Suspect(
        image=quality.image,
        task_id=quality.task_id,
        task_url=quality.task_url,
        region=None,
        label=None,
        author=quality.author,
        rule="low_quality",
        score=(1.0 - quality.quality) * RULE_OF["low_quality"].cost,
        reason=(
            f"cleanlab's label quality is {quality.quality:.2f} (overlooked {quality.overlooked:.2f}, badly "
            f"located {quality.badloc:.2f}, swapped {quality.swap:.2f})"
        ),
        box=quality.box,
    )


def _rank(suspect: Suspect) -> tuple[float, str, str, str]:
    """Worst first; nothing depends on the order in which images came."""
    return (-suspect.score, suspect.image, suspect.rule, suspect.region or "")
