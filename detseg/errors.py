"""The error tree.

    DetsegError              everything that a user can mend; the command line prints it as one line
    ├── ConfigError          detseg.toml, DETSEG_* variables, flags, taxonomy
    ├── SourceError          a folder or list of images that cannot be read at all
    ├── ImageError           one image that cannot be used: it is quarantined, the run goes on
    ├── ModelError           a checkpoint that cannot be loaded or breaks the predictor's contract
    ├── CatalogError         the database cannot be opened, read or written
    ├── LabelStudioError     the server refused, or said something that it may not
    │   ├── Refused          the server said no, and did nothing
    │   └── Unreachable      nobody answered; trying again may help
    │       └── Busy         asked to come later, by the server or a proxy before it
    ├── FormatError          a file or a task that is not what its format says
    ├── ServiceError         an embedded server that does not start or stop
    └── QuarantineExceeded   done, but more images failed than `max_quarantined_share` allows

A message says what was expected, what came, where, and what to do.
"""

from __future__ import annotations


class DetsegError(Exception):
    """What a user can mend. ``str(error)`` is one line that says what, where and what to do."""


class ConfigError(DetsegError):
    """detseg.toml, a DETSEG_* variable, a flag or the taxonomy is wrong."""


class SourceError(DetsegError):
    """A source of images cannot be listed."""


class ImageError(DetsegError):
    """One image cannot be used. It is quarantined with this reason and the run goes on."""


class ModelError(DetsegError):
    """A checkpoint cannot be loaded, or its answer breaks the predictor's contract."""


class CatalogError(DetsegError):
    """The catalog's database cannot be opened, read or written."""


class LabelStudioError(DetsegError):
    """Label Studio refused a request, or answered what it may not answer."""


class Refused(LabelStudioError):
    """Label Studio said no and did nothing. ``status`` is HTTP's: 400, 403, 404, 413, ..."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


class Unreachable(LabelStudioError):
    """Label Studio did not answer. The request may or may not have been carried out."""


class Busy(Unreachable):
    """Label Studio, or a proxy before it, asked to come again in ``after_s`` seconds (None: did not say)."""

    def __init__(self, words: str, after_s: float | None) -> None:
        super().__init__(words)
        self.after_s = after_s


class FormatError(DetsegError):
    """A file or a task is not what its format says."""


class ServiceError(DetsegError):
    """An embedded server does not start or does not stop."""


class QuarantineExceeded(DetsegError):
    """The run is done, but more images were quarantined than the settings allow."""
