"""The command line: thin commands over flows and pipeline. Heavy imports happen inside the commands."""

from __future__ import annotations

import io
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with too many bad images.

    130 where Ctrl-C stopped it.
    """
    from detseg.cli.app import app
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


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside the block, Ctrl-C raises KeyboardInterrupt, says so, and stops all threads; a second one kills.

    Left as it is where the signal is ignored, as under nohup.
    """
    from detseg.cli.output import note
    from detseg.pipeline import progress

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    with progress.stoppable() as stop_threads:

        def interrupt(*_: object) -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            stop_threads()
            note("detseg: stopping; run it again and it goes on (Ctrl-C again: at once)")
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _note_warning(message: Warning | str, *_: object, **__: object) -> None:
    from detseg.cli.output import note, shortened

    note(f"detseg: {shortened(str(message))}")


def _fail(error: Exception, *, code: int) -> None:
    from detseg.cli.output import note, shortened

    note(f"detseg: {shortened(str(error))}")
    sys.exit(code)
