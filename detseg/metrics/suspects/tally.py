"""All rules over all images, and the worst of what they find."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from detseg.metrics.cases import Case
from detseg.metrics.suspects.findings import RuleCount, Suspect, Suspects
from detseg.metrics.suspects.judging import judge
from detseg.metrics.suspects.options import SuspectOptions
from detseg.metrics.suspects.quality import QualityTally, summarize_quality
from detseg.metrics.suspects.rules import RULE_OF, RULES
from detseg.metrics.suspects.scene import Finding, Scene, build_context
from detseg.metrics.suspects.usual import Observation, Usual
from detseg.metrics.weeks import DatedShare, WeekTally
from detseg.taxonomy import Taxonomy

_FINDERS = tuple(dict.fromkeys(rule.find for rule in RULES))
"""A rule finds a region at most once, and the surer of two findings of one rule stands."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a rule found. It stands, or does where ``unusual`` is so once all images are known."""

    suspect: Suspect
    unusual: Observation | None
    is_drawn: bool
    """whether the region is one of the review's"""


@dataclass(frozen=True, slots=True)
class _Image:
    """An image in which something was found."""

    updated_at: datetime | None
    author: str
    n_regions: int
    found: tuple[_Found, ...]


@dataclass(slots=True)
class SuspectTally:
    """Adds up images, each once; the result has ``keep`` suspects at most, and complete counts."""

    taxonomy: Taxonomy
    options: SuspectOptions = field(default_factory=SuspectOptions)
    keep: int = 1000
    _images: list[_Image] = field(default_factory=list, init=False)
    _usual: Usual = field(default_factory=Usual, init=False)
    _quality: QualityTally = field(default_factory=QualityTally, init=False)

    def add(self, case: Case) -> None:
        """Applies every rule. Leaves out an image without a review that counts, and one of known truth."""
        scene = build_context(case, self.taxonomy, self.options)
        if scene is None:
            return
        self._quality.add(scene)
        drawn = {region.id for region in scene.truth.regions}
        found: list[_Found] = []
        for one in (one for find in _FINDERS for one in find(scene)):
            if isinstance(one, Observation):
                self._usual.add(one)
            else:
                is_drawn = one.region is not None and one.region.id in drawn
                found.append(_Found(_suspect(scene, one), one.unusual, is_drawn))
        truth = scene.truth
        self._images.append(_Image(truth.updated_at, truth.author, len(drawn), tuple(found)))

    def result(self) -> Suspects:
        """The worst so far, and complete counts."""
        n_suspects, n_images = Counter[str](), Counter[str]()
        ranked: list[Suspect] = []
        weeks, n_suspect_images = WeekTally(), 0
        for image in self._images:
            standing = self._standing(image)
            suspects = [one.suspect for one in standing]
            n_suspects.update(suspect.rule for suspect in suspects)
            n_images.update({suspect.rule for suspect in suspects})
            n_suspect_images += bool(suspects)
            named = {one.suspect.region: one.is_drawn for one in standing if one.suspect.region is not None}
            n_lacking = sum(not is_drawn for is_drawn in named.values())
            n_regions = image.n_regions + n_lacking
            weeks.add(DatedShare(image.updated_at, len(named), n_regions, image.author))
            ranked += suspects
            if len(ranked) > 2 * self.keep:
                ranked = heapq.nsmallest(self.keep, ranked, key=_rank)
        return Suspects(
            n_images=len(self._images),
            n_suspects=n_suspects.total(),
            n_suspect_images=n_suspect_images,
            ranked=tuple(heapq.nsmallest(self.keep, ranked, key=_rank)),
            per_rule={rule.name: RuleCount(n_suspects[rule.name], n_images[rule.name]) for rule in RULES},
            quality=summarize_quality(self._quality.scores(), keep=self.keep),
            weeks=weeks.result(),
        )

    def _standing(self, image: _Image) -> list[_Found]:
        """What stands of what was found in an image, each rule once for a region at most: the surer one."""
        surest: dict[tuple[str, str | None], _Found] = {}
        for one in image.found:
            suspect = one.suspect
            if one.unusual is not None:
                sure = judge(one.unusual, self._usual, self.options)
                if sure is None:
                    continue
                suspect = replace(suspect, score=suspect.score * sure)
            key = (suspect.rule, suspect.region)
            if key not in surest or suspect.score > surest[key].suspect.score:
                surest[key] = replace(one, suspect=suspect)
        return list(surest.values())


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


def _rank(suspect: Suspect) -> tuple[float, str, str, str]:
    """Worst first; nothing depends on the order in which images came."""
    return (-suspect.score, suspect.image, suspect.rule, suspect.region or "")
