"""The lock files are whole, fit the project and name no machine."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy import lock
from detseg.labelstudio.install import LOCK_FILE, VERSION

ROOT = Path(__file__).resolve().parents[2]
LOCKS = (ROOT / "requirements.lock", LOCK_FILE)


def pins(path: Path) -> dict[str, str]:
    """Package name -> version of a lock file."""
    return {name.lower(): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", path.read_text())}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_locks_pin_every_package_with_hashes_and_name_no_host(path: Path) -> None:
    text = path.read_text()
    entries = [entry for entry in re.split(r"(?m)^(?=\S)", text) if entry and not entry.startswith("#")]
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert not re.search(r"(?m)^ *-", text.replace("    --hash=sha256:", "")), (
        "an option of pip is in the lock"
    )


def test_lock_fits_the_project() -> None:
    project, pinned = tomllib.loads((ROOT / "pyproject.toml").read_text()), pins(LOCKS[0])
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *extras["dev"], *extras["docs"]]
    for requirement in map(Requirement, wanted + project["build-system"]["requires"]):
        version = pinned[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(version), (
            f"{requirement} but {version} is locked: run make lock"
        )


def test_lock_has_the_server_that_is_installed() -> None:
    assert pins(LOCK_FILE)["label-studio"] == VERSION


def test_locking_shuts_out_this_machine() -> None:
    given = {
        "PATH": "/bin",
        "PIP_FIND_LINKS": "/wheels",
        "UV_INDEX": "file:///x",
        "HTTPS_PROXY": "http://p:1",
    }
    assert lock.clean_environment(given) == {"PATH": "/bin", "HTTPS_PROXY": "http://p:1"}
