"""What tests that run side by side, in several processes or several runs, must not share."""

import os


def first_port(port: int) -> int:
    """The port to look for a free one from: another one in each of the processes that run tests."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return port + 1000 * worker + os.getpid() % 50 * 4
