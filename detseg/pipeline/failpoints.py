"""Named points on the way of a run at which a test may kill the process. Nothing happens unless one is named.

``DETSEG_FAILPOINT=push.after_request`` ends the process there as ``kill -9`` does; ``push.after_request:3``
at the third time that it comes by.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter

VARIABLE = "DETSEG_FAILPOINT"

_passed: Counter[str] = Counter()
_lock = threading.Lock()


def failpoint(name: str) -> None:
    """Ends the process, without any clean-up, if the environment names this point."""
    wanted, _, times = os.environ.get(VARIABLE, "").partition(":")
    if wanted != name:
        return
    with _lock:
        _passed[name] += 1
        if _passed[name] == int(times or 1):
            os.kill(os.getpid(), signal.SIGKILL)
