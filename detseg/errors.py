"""The error tree.

    DetsegError              everything that a user can mend; the command line prints it as one line
    ├── ConfigError          detseg.toml, DETSEG_* variables, flags, taxonomy
    ├── SourceError          a folder or list of images that cannot be read at all
    ├── ImageError           one image that cannot be used: it is quarantined, the run goes on
    ├── ModelError           a checkpoint that cannot be loaded or breaks the predictor's contract
    ├── TrainingError        a training that cannot begin or go on
    ├── CatalogError         the database cannot be opened, read or written
    │   └── Superseded       another model was promoted while a run used the one before
    ├── LabelStudioError     the server refused, or said something that it may not
    │   ├── Refused          the server said no, and did nothing
    │   ├── BrokenAnswer     the server failed at its answer, or the answer cannot be read
    │   └── Unreachable      nobody answered; trying again may help
    │       ├── Silent       the server took the request, and did not answer in its time
    │       └── Busy         asked to come later, by the server or a proxy before it
    ├── FormatError          a file or a task that is not what its format says
    │   └── NotJson          what was to be JSON is other text, or none
    ├── DatasetError         a dataset version that is not there, damaged, or cannot be written
    ├── InstallError         packages that cannot be installed
    ├── LockHeld             another run holds what only one may have at a time, and keeps it
    ├── ServiceError         an embedded server that does not start or stop
    │   └── PortTaken        another program has its port
    └── FellShort            done, but more images or reviews failed than allowed, or a part was left undone

A message says what was expected, what came, where, and what to do.
"""

from __future__ import annotations

from textwrap import shorten

from detseg.escaping import escape_controls

_LONGEST_REASON = 200


def short_reason(error: BaseException) -> str:
    """Return what another library's exception says in a line of at most 200 characters, or else its type.

    >>> short_reason(ValueError("no\\nsuch  file")), short_reason(KeyError())
    ('no such file', 'KeyError')
    """
    return shorten(str(error), _LONGEST_REASON, placeholder=" ...") or type(error).__name__


class DetsegError(Exception):
    """An error that a user can fix. ``str(error)`` is one line that says what, where and what to do.

    It is one line whatever names it holds: their control characters are escaped.
    """

    def __str__(self) -> str:
        return escape_controls(super().__str__())


class ConfigError(DetsegError):
    """detseg.toml, a DETSEG_* variable, a flag or the taxonomy is wrong."""


class SourceError(DetsegError):
    """A source of images cannot be listed."""


class ImageError(DetsegError):
    """One image cannot be used. It is quarantined with this reason and the run goes on."""


class ModelError(DetsegError):
    """A checkpoint cannot be loaded, or its answer breaks the predictor's contract."""


class TrainingError(DetsegError):
    """A training cannot begin or go on: its data, its losses or its disk do not allow it."""


class CatalogError(DetsegError):
    """The catalog's database cannot be opened, read or written."""


class Superseded(CatalogError):
    """Another model was promoted, or one taken back, while a run used the one before."""


class LabelStudioError(DetsegError):
    """Label Studio refused a request, or answered what it may not answer."""


class Refused(LabelStudioError):
    """Label Studio said no and did nothing. ``status`` is HTTP's: 400, 403, 404, 413, ...

    ``reason`` are the server's own words, short; ``words`` say whom we asked for what, too.
    """

    def __init__(self, words: str, status: int, reason: str = "") -> None:
        super().__init__(words)
        self.status = status
        self.reason = reason or words


class BrokenAnswer(LabelStudioError):
    """Label Studio failed at its answer (HTTP 500), or it is too large to be read; less of it may be well."""


class Unreachable(LabelStudioError):
    """Label Studio did not answer. The request may or may not have been carried out."""


class Silent(Unreachable):
    """Label Studio took the request and did not answer in its time: it hangs, or has far too much to do."""


class Busy(Unreachable):
    """Label Studio, or a proxy before it, asked to come again in ``after_s`` seconds (None: did not say)."""

    def __init__(self, words: str, after_s: float | None) -> None:
        super().__init__(words)
        self.after_s = after_s


class FormatError(DetsegError):
    """A file or a task is not what its format says."""


class NotJson(FormatError):
    """Text that was to be JSON and is not."""


class DatasetError(DetsegError):
    """A dataset version is not there, is damaged, or cannot be written."""


class InstallError(DetsegError):
    """Packages cannot be installed: the machine or its registry lacks something."""


class FellShort(DetsegError):
    """A run did what it could, but more failed than its settings allow, or a part was left undone."""


class LockHeld(DetsegError):
    """Another run holds a lock for longer than anybody waits."""


class ServiceError(DetsegError):
    """An embedded server does not start or does not stop."""


class PortTaken(ServiceError):
    """Another program has the port that an embedded server was to listen on."""
