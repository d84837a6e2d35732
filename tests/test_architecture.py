"""Holds the house's rules of size, direction and names, and proves that each of the rules can fail."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests import architecture as rules

ROOT = Path(__file__).resolve().parent.parent
HOUSE = rules.python_files(ROOT, ["detseg", "flows"])
EVERYTHING = rules.python_files(ROOT, ["detseg", "flows", "deploy", "bench", "tests"])
SLOW = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "prefect",
    "sqlalchemy",
    "alembic",
    "label_studio_sdk",
)


def nothing_in(violations: Sequence[str]) -> None:
    """Fails with one line per violation, without the rules' own stack."""
    if violations:
        pytest.fail("\n".join(violations), pytrace=False)


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.fixture(scope="module")
def declared() -> frozenset[str]:
    """The import names of the packages that pyproject.toml's dependencies name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {normal(re.split(r"[^\w.-]", line)[0]) for line in project["dependencies"]}
    mapping = packages_distributions().items()
    return frozenset(name for name, owners in mapping if wanted.intersection(map(normal, owners)))


@pytest.mark.parametrize("path", EVERYTHING)
def test_sizes_and_names(path: str) -> None:
    module = rules.read_module(ROOT, path)
    nothing_in([*rules.size_violations(module), *rules.name_violations(module)])


@pytest.mark.parametrize("path", HOUSE)
def test_imports(path: str, declared: frozenset[str]) -> None:
    module = rules.read_module(ROOT, path)
    found = [
        *rules.direction_violations(module),
        *rules.owner_violations(module),
        *rules.door_violations(module),
    ]
    nothing_in([*found, *rules.undeclared_violations(module, declared)])


def test_no_cycles() -> None:
    nothing_in(rules.cycles(rules.read_module(ROOT, path) for path in HOUSE))


def test_migrations_follow_one_another() -> None:
    """Two that are made at the same time would both follow the same one, and no catalog could be opened."""
    found = re.compile(r'^(?:down_)?revision = (?:"(\d+)"|None)$', re.MULTILINE)
    files = sorted((ROOT / "detseg" / "catalog" / "migrations" / "versions").glob("v*.py"))
    numbers = [file.name[1:5] for file in files]
    assert [found.findall(file.read_text()) for file in files] == [
        list(pair) for pair in zip(numbers, ["", *numbers], strict=False)
    ]


def test_the_house_is_read() -> None:
    assert {"detseg/__init__.py", "detseg/types.py", "detseg/geometry/masks.py"} <= set(HOUSE)
    assert {"deploy/install.py", "bench/push.py", "tests/test_architecture.py"} <= set(EVERYTHING)
    assert rules.read_module(ROOT, "detseg/geometry/__init__.py").name == "detseg.geometry"


@pytest.mark.parametrize("start", ["pass", "from detseg.cli import main; main()"], ids=["import", "--help"])
def test_starting_loads_nothing_slow(start: str) -> None:
    program = (
        "import sys, detseg\n"
        "sys.argv = ['detseg', '--help']\n"
        f"try:\n    {start}\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', *(name for name in {(*SLOW, 'flows')!r} if name in sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].split() == ["LOADED"]
    assert (start == "pass") == (len(result.stdout.splitlines()) == 1), "the help was not printed"


# What each rule has to find, and what it has to let through.


def module(path: str, source: str) -> rules.Module:
    return rules.parse_module(path, source)


def test_size_rule_counts_lines() -> None:
    assert not rules.size_violations(module("detseg/a.py", "x = 1\n" * 400))
    assert rules.size_violations(module("detseg/a.py", "x = 1\n" * 401)) == [
        "detseg/a.py:1: the module has 401 lines, the limit is 400"
    ]
    assert not rules.size_violations(module("detseg/a.py", "def f():\n" + "    x = 1\n" * 59))
    assert rules.size_violations(module("detseg/a.py", "\nasync def f():\n" + "    x = 1\n" * 60)) == [
        "detseg/a.py:2: f() has 61 lines, the limit is 60"
    ]


@pytest.mark.parametrize(
    ("source", "n_found"),
    [
        ("def f(a, b, c, d): pass", 0),
        ("def f(a, b, c, d, *, e, f): pass", 0),
        ("def f(a, b, c, d, e): pass", 1),
        ("def f(a, b, /, c, d, e=1): pass", 1),
        ("class C:\n    def f(self, a, b, c, d): pass", 0),
        ("class C:\n    def f(self, a, b, c, d, e): pass", 1),
        ("class C:\n    @staticmethod\n    def f(a, b, c, d, e): pass", 1),
        ("def outer():\n    def f(a, b, c, d, e): pass", 1),
    ],
)
def test_size_rule_counts_positional_parameters(source: str, n_found: int) -> None:
    assert len(rules.size_violations(module("detseg/a.py", source))) == n_found


def test_size_rule_lets_pytest_fill_in_fixtures() -> None:
    source = "def test_a(a, b, c, d, e): pass\n@pytest.fixture\ndef f(a, b, c, d, e): pass\n"
    assert not rules.size_violations(module("tests/test_a.py", source))
    assert len(rules.size_violations(module("detseg/a.py", source))) == 2
    assert len(rules.size_violations(module("tests/test_a.py", "def place(a, b, c, d, e): pass"))) == 1


@pytest.mark.parametrize(
    ("path", "source", "reason"),
    [
        ("detseg/geometry/boxes.py", "from detseg.models import load", "'geometry' comes before 'models'"),
        (
            "detseg/geometry/boxes.py",
            "def f():\n    import detseg.models.load",
            "'geometry' comes before 'models'",
        ),
        ("detseg/geometry/boxes.py", "from ..models import load", "'geometry' comes before 'models'"),
        ("detseg/geometry/__init__.py", "from ..cli import main", "'geometry' comes before 'cli'"),
        ("detseg/geometry/boxes.py", "from detseg import cli", "'geometry' comes before 'cli'"),
        ("detseg/pipeline/collect.py", "import flows.collect", "only detseg/cli/ may import flows/"),
        ("detseg/cli/app.py", "from flows import collect", "inside the command that needs it"),
        ("flows/collect.py", "from detseg.catalog import Catalog", "flows/ may import only"),
        ("detseg/cli/app.py", "if SLOW:\n    import flows", "inside the command that needs it"),
        ("detseg/__init__.py", "from detseg.types import Box", "the package itself imports none"),
        ("detseg/cellar/wine.py", "", "'cellar' is not on the plan"),
    ],
)
def test_direction_rule_finds(path: str, source: str, reason: str) -> None:
    (found,) = rules.direction_violations(module(path, source))
    line = len(source.splitlines()) or 1
    assert found.startswith(f"{path}:{line}: ")
    assert reason in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("detseg/models/load.py", "from detseg.geometry import boxes\nfrom detseg.models.card import Card"),
        ("detseg/report/page.py", "from detseg import __version__\nfrom . import drawing\nimport json"),
        ("detseg/cli/app.py", "def run():\n    from flows.collect import collect"),
        (
            "flows/collect.py",
            "import detseg\nfrom detseg.pipeline import collect\nfrom flows.record import table",
        ),
    ],
)
def test_direction_rule_lets_through(path: str, source: str) -> None:
    assert not rules.direction_violations(module(path, source))


@pytest.mark.parametrize(
    ("path", "source", "n_found"),
    [
        ("detseg/metrics/boxes.py", "import torch", 1),
        ("detseg/metrics/boxes.py", "def f():\n    from torch.nn import functional", 1),
        ("detseg/models/load.py", "import torch, transformers", 0),
        ("detseg/samples/train.py", "import torch", 0),
        ("detseg/samples/train_loop.py", "import torch", 0),
        ("detseg/samples/scenes.py", "import torch", 1),
        ("detseg/pipeline/collect.py", "from prefect import flow", 1),
        ("flows/collect.py", "from prefect import flow", 0),
        ("flows/collect.py", "import sqlalchemy", 1),
        ("detseg/catalog/tables.py", "from sqlalchemy.orm import Session\nimport alembic", 0),
        ("detseg/cli/app.py", "import label_studio_sdk", 1),
    ],
)
def test_owner_rule(path: str, source: str, n_found: int) -> None:
    found = rules.owner_violations(module(path, source))
    assert len(found) == n_found
    assert all("may import" in line for line in found)


@pytest.mark.parametrize(
    ("path", "source", "n_found"),
    [
        ("detseg/metrics/boxes.py", "print(1)\nsys.stderr.write('')", 2),
        ("detseg/cli/output.py", "print(1)", 0),
        ("detseg/cli/output.py", "path.write_text('')", 1),
        ("detseg/files.py", "os.open(path, os.O_WRONLY)", 0),
        ("flows/collect.py", "path.open('w')\nopen(path, 'ab')\nos.open(path, 1)\ntempfile.mkstemp()", 4),
        ("flows/collect.py", "path.open()\nopen(path, 'rb')\nimage.open(path)\nfile.write('w')", 0),
        ("detseg/files.py", "json.loads(text)", 0),
        ("flows/collect.py", "json.loads(text)\nself.response.json()\nsend('GET').json()\njson.dumps(1)", 3),
        ("flows/collect.py", "session.json('GET', path)", 0),
    ],
)
def test_door_rule(path: str, source: str, n_found: int) -> None:
    assert len(rules.door_violations(module(path, source))) == n_found


def test_declared_rule() -> None:
    source = (
        "import json\nimport numpy as np\nfrom detseg import types\nfrom yaml import load\nimport os.path"
    )
    found = rules.undeclared_violations(module("detseg/a.py", source), frozenset({"numpy"}))
    assert found == ["detseg/a.py:4: yaml is not in pyproject.toml's dependencies"]
    extra = "import psycopg\nfrom detseg.catalog.postgres import make_engine\n"
    found = rules.undeclared_violations(module("detseg/a.py", extra), frozenset())
    assert [line.partition(": ")[0] for line in found] == ["detseg/a.py:1", "detseg/a.py:2"]
    assert not rules.undeclared_violations(
        module("detseg/catalog/postgres.py", "import psycopg"), frozenset()
    )


@pytest.mark.parametrize(
    ("path", "source", "n_found"),
    [
        ("detseg/geometry/box_utils.py", "", 1),
        ("detseg/misc/boxes.py", "", 1),
        ("detseg/models/load.py", "class ModelManager: pass\ndef loading_helper(): pass", 2),
        ("detseg/models/load.py", "class Base: pass", 1),
        ("detseg/catalog/database.py", "class Database: pass\ndef manage(): pass\nbased = 1", 0),
    ],
)
def test_name_rule(path: str, source: str, n_found: int) -> None:
    assert len(rules.name_violations(module(path, source))) == n_found


def test_cycle_rule() -> None:
    package = module("detseg/a/__init__.py", "from detseg.a.one import x")
    one = module("detseg/a/one.py", "from detseg.a import two")
    two = module("detseg/a/two.py", "import json")
    lazy = module("detseg/a/two.py", "def f():\n    from . import one")
    assert not rules.cycles([package, one, two])
    assert rules.cycles([package, one, lazy]) == [
        "detseg/a/one.py:1: a cycle: detseg.a.one -> detseg.a.two -> detseg.a.one"
    ]
    back = module("detseg/a/one.py", "from detseg.a import y")
    assert rules.cycles([package, back]) == [
        "detseg/a/__init__.py:1: a cycle: detseg.a -> detseg.a.one -> detseg.a"
    ]
