"""The rules of the house as functions of a module's syntax tree. Each answers lines `path:line: rule`.

Nothing here imports the code it reads, so a broken module is still judged. `test_architecture.py` runs the
rules over the project and, with small bad snippets, over what each of them has to find.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MODULE_LINES, FUNCTION_LINES, POSITIONAL = 400, 60, 4
FORBIDDEN_WORDS = frozenset(
    ("util", "utils", "helper", "helpers", "manager", "managers", "base", "bases", "misc", "miscellaneous")
)

# A room imports only rooms that stand before it.
ROOMS = (
    "run_lengths",
    "types",
    "escaping",
    "plurals",
    "errors",
    "waits",
    "files",
    "paging",
    "taxonomy",
    "config",
    "geometry",
    "images",
    "bounded_http",
    "locking",
    "processes",
    "uv",
    "sources",
    "formats",
    "models",
    "catalog",
    "labelstudio",
    "metrics",
    "datasets",
    "report",
    "training",
    "samples",
    "pipeline",
    "cli",
)
ROOF = frozenset(("cli", "__main__"))
ROOMS_OF_FLOWS = frozenset(
    (
        "types",
        "escaping",
        "plurals",
        "errors",
        "waits",
        "files",
        "taxonomy",
        "config",
        "locking",
        "processes",
        "pipeline",
    )
)

# Who alone may import a package, as the beginnings of module names.
_NETS = ("detseg.models", "detseg.training", "detseg.samples.train")
OWNERS: Mapping[str, tuple[str, ...]] = {
    "prefect": ("flows",),
    "prefect_dask": ("flows",),
    "torch": _NETS,
    "torchvision": _NETS,
    "timm": _NETS,
    "transformers": _NETS,
    "safetensors": _NETS,
    "sqlalchemy": ("detseg.catalog",),
    "alembic": ("detseg.catalog",),
    "label_studio_sdk": ("detseg.labelstudio",),
}

# Packages of extras, with the one module that imports each and is itself imported where it is needed alone.
EXTRAS: Mapping[str, str] = {"psycopg": "detseg.catalog.postgres"}


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a syntax tree, the one that it stands in, and whether it is not run on import."""

    syntax: ast.AST
    parent: ast.AST
    deferred: bool


@dataclass(frozen=True, slots=True)
class Module:
    """A source file, its dotted name (a package has its folder's) and the nodes of its syntax tree."""

    name: str
    path: str
    source: str
    nodes: tuple[Node, ...]
    is_package: bool


@dataclass(frozen=True, slots=True)
class Import:
    """One imported dotted name: a module, or one of its names, and where the statement stands."""

    target: str
    line: int
    deferred: bool
    """Whether it is not run on import: it stands in a function, or is for the type checker alone."""


def python_files(root: Path, folders: Iterable[str]) -> tuple[str, ...]:
    """The paths of all Python files under the folders, sorted."""
    paths = (path for folder in folders for path in (root / folder).rglob("*.py"))
    return tuple(sorted(str(path.relative_to(root)) for path in paths))


@cache
def read_module(root: Path, path: str) -> Module:
    return parse_module(path, (root / path).read_text())


def parse_module(path: str, source: str) -> Module:
    parts = path.removesuffix(".py").split("/")
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    return Module(name, path, source, tuple(_walk(ast.parse(source, path), deferred=False)), is_package)


def _walk(parent: ast.AST, *, deferred: bool) -> Iterator[Node]:
    for child in ast.iter_child_nodes(parent):
        yield Node(child, parent, deferred)
        yield from _walk(child, deferred=deferred or _defers(child))


def imports_of(module: Module) -> tuple[Import, ...]:
    """Every import of a module, also those inside functions; relative ones made absolute."""
    found = []
    for node in module.nodes:
        if isinstance(node.syntax, ast.Import):
            found += [Import(alias.name, node.syntax.lineno, node.deferred) for alias in node.syntax.names]
        elif isinstance(node.syntax, ast.ImportFrom):
            source = _absolute(module, node.syntax)
            for alias in node.syntax.names:
                target = source if alias.name == "*" else f"{source}.{alias.name}"
                found.append(Import(target, node.syntax.lineno, node.deferred))
    return tuple(found)


def _defers(node: ast.AST) -> bool:
    """Whether what stands in the node is not run when the module is imported."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _absolute(module: Module, statement: ast.ImportFrom) -> str:
    if not statement.level:
        return statement.module or ""
    here = module.name.split(".")
    up = statement.level - module.is_package
    return ".".join([*here[: len(here) - up], *((statement.module,) if statement.module else ())])


def size_violations(module: Module) -> list[str]:
    """Modules and functions that are too long, and functions with too many positional parameters."""
    found = []
    n_lines = len(module.source.splitlines())
    if n_lines > MODULE_LINES:
        found.append(f"{module.path}:1: the module has {n_lines} lines, the limit is {MODULE_LINES}")
    for node, owner in _functions(module):
        n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
        where = f"{module.path}:{node.lineno}: {node.name}()"
        if n_lines > FUNCTION_LINES:
            found.append(f"{where} has {n_lines} lines, the limit is {FUNCTION_LINES}")
        n_positional = len(positional_parameters(node, owner))
        if n_positional > POSITIONAL and not _filled_by_name(module, node):
            found.append(
                f"{where} takes {n_positional} positional parameters, the limit is {POSITIONAL}: "
                "make the others keyword-only"
            )
    return found


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(module: Module) -> Iterator[tuple[_Function, ast.AST]]:
    """Every function with the node that it stands in."""
    for node in module.nodes:
        if isinstance(node.syntax, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.syntax, node.parent


def positional_parameters(node: _Function, owner: ast.AST) -> list[str]:
    """The parameters that can be given by position; a method's self or cls is none of them."""
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
    return names[1:] if isinstance(owner, ast.ClassDef) and "staticmethod" not in decorators else names


def _filled_by_name(module: Module, node: _Function) -> bool:
    """Whether pytest alone calls the function: it gives fixtures by name."""
    fixture = any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
    return module.path.startswith("tests/") and (fixture or node.name.startswith("test"))


def room_of(name: str) -> str:
    """`detseg.geometry.masks` -> geometry; `flows.x` -> flows; `detseg` itself -> detseg."""
    parts = name.split(".")
    return parts[1] if parts[0] == "detseg" and len(parts) > 1 else parts[0]


def direction_violations(module: Module) -> list[str]:
    """Imports that go up: a room may use only the rooms before it, flows few of them, and the roof all."""
    room, found = room_of(module.name), []
    if module.name.startswith("detseg.") and room not in (*ROOMS, *ROOF):
        found.append(
            f"{module.path}:1: the room {room!r} is not on the plan (ROOMS in tests/architecture.py)"
        )
    for imported in imports_of(module):
        top = imported.target.split(".")[0]
        if top not in ("detseg", "flows") or imported.target.startswith("detseg.__version__"):
            continue
        reason = _forbidden(room, room_of(imported.target), imported)
        if reason:
            found.append(f"{module.path}:{imported.line}: {reason} (imports {imported.target})")
    return found


def _forbidden(room: str, target: str, imported: Import) -> str | None:
    if target == room or (target == "detseg" and room != "detseg"):
        return None
    if room == "flows":
        allowed = target in ROOMS_OF_FLOWS
        return None if allowed else f"flows/ may import only {', '.join(sorted(ROOMS_OF_FLOWS))}"
    if target == "flows":
        if room not in ROOF:
            return "only detseg/cli/ may import flows/"
        return None if imported.deferred else "flows/ is imported inside the command that needs it"
    if room == "detseg":
        return "the package itself imports none of its rooms"
    if room in ROOF:
        return None
    order = {name: place for place, name in enumerate(ROOMS)}
    if order.get(target, len(ROOMS)) >= order.get(room, -1):
        return f"the room {room!r} comes before {target!r} and may not know it"
    return None


def owner_violations(module: Module) -> list[str]:
    """Imports of a package that another room alone may know."""
    found = []
    for imported in imports_of(module):
        package = imported.target.split(".")[0]
        owners = OWNERS.get(package)
        if owners is not None and not module.name.startswith(owners):
            allowed = " and ".join(owner.replace(".", "/") for owner in owners)
            found.append(f"{module.path}:{imported.line}: only {allowed} may import {package}")
    return found


# Who alone may print, write files, and read JSON; beside the first two, programs of their own.
_PROGRAMS = ("detseg/labelstudio/install.py", "detseg/samples/train/")
_PRINTERS = ("detseg/cli/output.py", *_PROGRAMS)
_WRITERS = ("detseg/files.py", *_PROGRAMS)
_READERS = ("detseg/files.py", "detseg/catalog/")  # the catalog reads what we wrote
_PRINTING = re.compile(r"(print|typer\.echo|sys\.std(out|err)(\.buffer)?\.write)$")
_WRITING = re.compile(r"(.*\.)?(write_text|write_bytes|mkstemp|NamedTemporaryFile)$|os\.open$")
_READING = re.compile(r"json\.loads?$|.*\bresponse\.json$|.*\)\.json$")


def door_violations(module: Module) -> list[str]:
    """Calls past the one door that escapes what is printed, follows no links, and refuses odd JSON."""
    found = []
    for node in (one.syntax for one in module.nodes):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if _PRINTING.match(called) and not module.path.startswith(_PRINTERS):
            found.append(f"{module.path}:{node.lineno}: only detseg/cli/output.py prints: call say or note")
        if (_WRITING.match(called) or _opens_to_write(node)) and not module.path.startswith(_WRITERS):
            found.append(f"{module.path}:{node.lineno}: only detseg/files.py writes: call replacing")
        if _READING.match(called) and not module.path.startswith(_READERS):
            found.append(
                f"{module.path}:{node.lineno}: only detseg/files.py reads JSON of others: call parse_json"
            )
    return found


def _opens_to_write(call: ast.Call) -> bool:
    """Whether it is ``open(path, "w")`` or ``path.open("w")``, or one with another mode that makes files."""
    if not re.match(r"(.*\.)?open$", ast.unparse(call.func)):
        return False
    modes = [argument.value for argument in call.args[:2] if isinstance(argument, ast.Constant)]
    return any(isinstance(mode, str) and re.fullmatch(r"[wxa][bt+]*", mode) for mode in modes)


def undeclared_violations(module: Module, declared: frozenset[str]) -> list[str]:
    """Imports of third-party packages that pyproject.toml's dependencies do not name (as import names)."""
    known = declared | sys.stdlib_module_names | {"detseg", "flows"}
    known |= {package for package, name in EXTRAS.items() if name == module.name}
    found = []
    for imported in imports_of(module):
        package = imported.target.split(".")[0]
        if imported.target.startswith(tuple(EXTRAS.values())) and not imported.deferred:
            found.append(
                f"{module.path}:{imported.line}: {imported.target} needs an extra: import it in a function"
            )
        if package not in known:
            found.append(f"{module.path}:{imported.line}: {package} is not in pyproject.toml's dependencies")
    return found


def name_violations(module: Module) -> list[str]:
    """Modules, classes and functions named after no noun: utils, helpers, manager, base, misc."""
    found = []
    for part in module.path.removesuffix(".py").split("/"):
        for word in FORBIDDEN_WORDS.intersection(words_of(part)):
            found.append(f"{module.path}:1: {word!r} in the path says nothing: name what is in it")
    for node in (one.syntax for one in module.nodes):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for word in FORBIDDEN_WORDS.intersection(words_of(node.name)):
                found.append(f"{module.path}:{node.lineno}: {word!r} in {node.name} says nothing")
    return sorted(found)


def words_of(name: str) -> set[str]:
    """`TaskManager` and `task_manager` -> {task, manager}."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def cycles(modules: Iterable[Module]) -> list[str]:
    """Groups of modules that import each other, imports inside functions included.

    A package's `__init__` counts only where it is imported by its own name: importing `a.b` runs `a` first,
    but that is no knowledge of it.
    """
    known = {module.name: module for module in modules}
    graph: dict[str, dict[str, int]] = {name: {} for name in known}
    for name, module in known.items():
        for imported in imports_of(module):
            target = imported.target if imported.target in known else imported.target.rpartition(".")[0]
            if target in known and target != name:
                graph[name].setdefault(target, imported.line)
    found: dict[frozenset[str], str] = {}
    for start in sorted(graph):
        path = _path_back(graph, start)
        if path and frozenset(path) not in found:
            line = graph[path[0]][path[1 % len(path)]]
            found[frozenset(path)] = f"{known[start].path}:{line}: a cycle: {' -> '.join((*path, start))}"
    return list(found.values())


def _path_back(graph: Mapping[str, Mapping[str, int]], start: str) -> tuple[str, ...]:
    """The shortest way from start to itself, without its end; empty where there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    for way in ways:
        for target in sorted(graph[way[-1]]):
            if target == start:
                return way
            if target not in seen:
                seen.add(target)
                ways.append((*way, target))
    return ()
