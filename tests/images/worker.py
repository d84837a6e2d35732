"""A process that reads image files, so that what they do to it can be seen: run it with ``-m``."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Timer

MOST_CPU_S, MOST_MB = 20.0, 1_024.0
_PATIENCE_S = 600.0  # of the wall's clock: for a machine that does much else, and for what sleeps for ever


@dataclass(frozen=True, slots=True)
class Outcome:
    """``kind`` is read, refused, crash or hang; ``words`` say why or how."""

    kind: str
    words: str = ""
    cpu_s: float = 0.0
    peak_mb: float = 0.0

    @property
    def faults(self) -> tuple[str, ...]:
        """What must not be."""
        found = {
            "crashes": self.kind == "crash",
            "hangs": self.kind == "hang" or self.cpu_s > MOST_CPU_S,
            "over_1_gib": self.peak_mb > MOST_MB,
        }
        return tuple(name for name, is_so in found.items() if is_so)


@contextmanager
def reader() -> Iterator[Callable[[bytes], Outcome]]:
    """A function that has files read by a process, which is replaced when it dies or has to be ended."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        printed = stack.enter_context(open(place / "stderr", "w+"))
        workers: list[subprocess.Popen[str]] = []

        def start() -> None:
            command = [sys.executable, "-m", "tests.images.worker"]
            pipe = subprocess.PIPE
            workers.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=printed, text=True))
            stack.callback(_end, workers[-1])

        def read(data: bytes) -> Outcome:
            (place / "image").write_bytes(data)
            if not workers or workers[-1].poll() is not None:
                start()
            answer = _ask(workers[-1], place / "image")
            printed.seek(0)
            words = printed.read()
            printed.seek(0)
            printed.truncate()
            return replace(answer, kind="crash", words=words) if words else answer

        yield read


def _ask(worker: subprocess.Popen[str], path: Path) -> Outcome:
    assert worker.stdin is not None
    assert worker.stdout is not None
    timer = Timer(_PATIENCE_S, worker.kill)
    timer.start()
    worker.stdin.write(f"{path}\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    is_late = not timer.is_alive()
    timer.cancel()
    if line:
        return Outcome(**json.loads(line))
    return Outcome("hang" if is_late else "crash", f"the process ended with {worker.wait()}")


def _end(worker: subprocess.Popen[str]) -> None:
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            pipe.close()
    worker.wait()


def main() -> None:
    """Reads the files whose paths come in, and answers a line of JSON for each."""
    from detseg.errors import ImageError
    from detseg.images import decode_image, upright_size

    for line in sys.stdin:
        data = Path(line.rstrip("\n")).read_bytes()
        _forget_peak()
        start = time.process_time()
        try:
            size = upright_size(data)
            decoded = decode_image(data, "x").size
            outcome = (
                Outcome("read", str(size)) if size == decoded else Outcome("crash", f"{size}, not {decoded}")
            )
        except ImageError as error:
            outcome = Outcome("refused", str(error))
        outcome = replace(outcome, cpu_s=time.process_time() - start, peak_mb=_peak_mb())
        print(json.dumps(asdict(outcome)), flush=True)


def _forget_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak_mb() -> float:
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
