"""What tests that run side by side begin with, and what they must not share."""

import os

LONGEST = (
    "tests/e2e/faults/test_faults.py",
    "tests/e2e/test_commands.py",
    "tests/training/test_train.py",
    "tests/training/test_torchvision_models.py",
    "tests/training/test_semantic.py",
    "tests/training/test_command.py",
    "tests/training/test_adapt.py",
    "tests/training/test_heads.py",
    "tests/training/test_checks.py",
    "tests/training/test_segmenters.py",
    "tests/samples/test_train.py",
    "tests/pipeline/test_model_cache.py",
    "tests/models/test_engine.py",
)
"""The files that take a process longest, with which the tests begin."""


def first_port(port: int) -> int:
    """The port to look for a free one from: another one in each of the processes that run tests."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return port + 1000 * worker + os.getpid() % 50 * 4
