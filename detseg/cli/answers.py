"""The screen of `detseg qa`: the four answers, and a table of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detseg.cli.output import print_lines, print_table, say
from detseg.pipeline.outcome import describe_basis
from detseg.pipeline.qa.answers import answers_of
from detseg.plurals import format_count
from detseg.report.wording import tell
from detseg.types import EDIT_KINDS

if TYPE_CHECKING:
    from detseg.metrics.intervals import Estimate
    from detseg.pipeline.evaluate import EvaluateReport
    from detseg.pipeline.send_back import SentBack


def print_evaluated(report: EvaluateReport) -> None:
    """Print how good the model is, how good the labels are, what was saved, and what to change."""
    result = report.result
    print_lines(describe_basis(result))
    for name, parts in answers_of(result):
        first, *others = parts
        say(f"{name:<8}{first}")
        for sentence in others:
            say(f"{'':<8}{sentence}")
    rows = [
        (
            name,
            *(str(getattr(one.counts, kind)) for kind in EDIT_KINDS),
            _accepted(one.acceptance_rate),
        )
        for name, one in result.work.edits.per_class.items()
    ]
    if rows:
        print_table(("class", *EDIT_KINDS, "accepted"), rows)
    say(f"report {report.path}")
    if report.sent_back and not report.sent_back.problem:
        say(_sent_back(report.sent_back))


def _accepted(estimate: Estimate) -> str:
    told = tell(estimate, "share")
    return f"{told.value} (too few)" if told.level == "rough" else told.value


def _sent_back(sent: SentBack) -> str:
    gone = f" ({format_count(sent.n_gone, 'suspect')} deleted in Label Studio)" if sent.n_gone else ""
    if sent.url is None:
        return f"nothing to send back{gone}: there is no tab for it"
    return f"{format_count(sent.n_sent, 'task')} to look at again{gone}: {sent.url}"
