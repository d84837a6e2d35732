"""The command line: thin commands over flows and pipeline. Heavy imports happen inside the commands."""

from __future__ import annotations

import io
import sys
import warnings


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with too many bad images.

    130 where Ctrl-C stopped it.
    """
    from detseg.cli.app import app
    from detseg.cli.interrupt import interruptible
    from detseg.cli.output import note
    from detseg.errors import ConfigError, DetsegError
    from detseg.waits import heard_by

    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks a letter shows an escape
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with interruptible(), heard_by(lambda line: note(f"detseg: {line}")), warnings.catch_warnings():
            warnings.simplefilter("once", FutureWarning)
            warnings.showwarning = _note_warning
            app(prog_name="detseg")
    except ConfigError as error:
        _fail(error, code=2)
    except DetsegError as error:
        _fail(error, code=1)
    except BrokenPipeError:  # the reader of our output is gone, as in `detseg ... | head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written to: it names the file
        _fail(error, code=1)


def _note_warning(message: Warning | str, *_: object, **__: object) -> None:
    from detseg.cli.output import note, shortened

    note(f"detseg: {shortened(str(message))}")


def _fail(error: Exception, *, code: int) -> None:
    from detseg.cli.output import note, shortened

    note(f"detseg: {shortened(str(error))}")
    sys.exit(code)
