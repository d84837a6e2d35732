"""Settings read from ``detseg.toml``, ``DETSEG_*`` variables and flags, and written as a commented file.

Relative paths are relative to the folder of ``detseg.toml`` (the working directory where there is none).
Files and variables of detseg 0.1, which had no sections, and options that were renamed are read as well,
with a FutureWarning.
"""

from __future__ import annotations

import json
import os
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from detseg.config.classes import ChangeSettings, ClassSettings
from detseg.config.sections import Section
from detseg.config.settings import Settings
from detseg.errors import ConfigError
from detseg.files import open_regular

FILE_NAME = "detseg.toml"
ENV_PREFIX = "DETSEG_"
_Path = tuple[str, ...]
"""Section and option; an option alone where it is in none."""

_MOST_BYTES = 1_000_000
_NO_SETTINGS = ("label_studio_bin", "failpoint")  # variables of the installation and of the tests
_SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
_LATER = ("training", "judgement", "retrain")  # sections that detseg 0.1 had not
_FLAT = {
    **{
        option: (name, option)
        for name, section in _SECTIONS.items()
        if name not in _LATER
        for option in section.model_fields
    },
    **{
        f"label_studio_{option}": ("label_studio", option)
        for option in _SECTIONS["label_studio"].model_fields
    },
    "source": ("source", "location"),
    "engine": ("engine", "mode"),
    "task_max_masks": ("labels", "max_masks"),
    "task_max_bytes": ("labels", "max_bytes"),
    "experiment_seed": ("experiments", "seed"),
    "blind_share": ("experiments", "control_share"),
}
"""Section and option by the names of detseg 0.1."""

_RENAMED: Mapping[_Path, _Path] = {("experiments", "blind_share"): ("experiments", "control_share")}
"""Options that had another name in their section."""


def load_settings(
    config: Path | None = None, *, environ: Mapping[str, str] | None = None, **flags: Any
) -> Settings:
    """Return the settings of a run: the file, ``DETSEG_SECTION__OPTION`` variables over it, flags over both.

    ``config`` is the file; without it, the working directory's detseg.toml where there is one. ``environ``
    takes the place of the process's variables. Flags are named ``section__option``; None means not given.
    Raises ConfigError, which names the file, variable or flag and what it may be.
    """
    file = config or Path(FILE_NAME)
    variables = os.environ if environ is None else environ
    from_env = {
        name: value
        for key, value in variables.items()
        if key.startswith(ENV_PREFIX) and (name := key.removeprefix(ENV_PREFIX).lower()) not in _NO_SETTINGS
    }
    layers = (
        (str(file), _options(_read_toml(file, required=config is not None))),
        ("the environment", _split(from_env)),
        ("the flags", _split({name: value for name, value in flags.items() if value is not None})),
    )
    origins: dict[_Path, str] = {}
    values: dict[str, Any] = {}
    given: list[str] = []
    for origin, options in layers:
        for path, value in _in_sections(options, origin).items():
            if origin != str(file):
                given.append("__".join(path))
            _put(values, path, value)
            origins.setdefault(path[:1], origin)
            origins[path] = origin
    values["root"] = file.absolute().parent
    try:
        return Settings.model_validate(values).as_given(given)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, origins)) from error


def find_option(name: str) -> FieldInfo | None:
    """The field of an option by its name, ``section__option``, also an earlier one. None for no option."""
    path = _FLAT.get(name) or tuple(name.split("__", 1))
    if len(path) == 1:
        return None if name in _SECTIONS else Settings.model_fields.get(name)
    section, option = _RENAMED.get(path, path)
    return _SECTIONS[section].model_fields.get(option) if section in _SECTIONS else None


def _split(named: Mapping[str, Any]) -> Iterator[tuple[_Path, Any]]:
    """Split names of the form ``section__option`` into paths."""
    return ((tuple(name.split("__", 1)), value) for name, value in named.items())


def _options(tables: Mapping[str, Any]) -> Iterator[tuple[_Path, Any]]:
    """Every option of a file with its path; sections are gone through."""
    for name, value in tables.items():
        if name in _SECTIONS and isinstance(value, Mapping):
            yield from (((name, option), one) for option, one in value.items())
        else:
            yield (name,), value


def _put(values: dict[str, Any], path: _Path, value: Any) -> None:
    *sections, option = path
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            return  # it is no section, which is said
        values = inner
    values[option] = value


def _in_sections(options: Iterable[tuple[_Path, Any]], origin: str) -> dict[_Path, Any]:
    """The options of a layer, those of detseg 0.1 in their sections. Warns of these and of earlier names.

    What stands in a section itself, under its name of now, goes over what does not.
    """
    found: dict[_Path, Any] = {}
    moved: dict[str, Any] = {}
    renamed: dict[_Path, Any] = {}
    for path, value in options:
        if len(path) == 1 and path[0] in _FLAT:
            moved[path[0]] = value
        elif path in _RENAMED:
            renamed[_RENAMED[path]] = value
            was, now = (".".join(one) for one in (path, _RENAMED[path]))
            warnings.warn(f"{origin}: {was} is called {now} now", FutureWarning, stacklevel=3)
        else:
            found[path] = value
    if moved:
        names = list(moved)
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        first = "__".join(_FLAT[names[0]])
        mend = {
            "the environment": f"write {ENV_PREFIX}{first.upper()} for {ENV_PREFIX}{names[0].upper()}",
            "the flags": f"write {first} for {names[0]}",
        }.get(origin, f"`detseg init --from {origin} new.toml` writes a file with sections")
        warnings.warn(
            f"{origin}: {some}: settings are in sections now, and read as those of detseg 0.1: {mend}",
            FutureWarning,
            stacklevel=3,
        )
    return {_FLAT[name]: value for name, value in moved.items()} | renamed | found


def _read_toml(file: Path, *, required: bool) -> dict[str, Any]:
    if not required and not file.exists():
        return {}
    try:
        with open_regular(file) as opened:
            text = opened.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ConfigError(f"{file} has more than {_MOST_BYTES:,} bytes: these are no settings")
        return tomllib.loads(text.decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}): `detseg init` writes a new one") from error
    except (ValueError, RecursionError) as error:  # also numbers of 6,000 digits, lists in lists without end
        raise ConfigError(f"{file} is not valid TOML: {error}") from error


def _first_problem(error: ValidationError, origins: Mapping[_Path, str]) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    path = tuple(str(part) for part in problem["loc"])
    name = ".".join(path)
    where = origins.get(path[:2]) or origins.get(path[:1], "the settings")
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(name, _known_names(), n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        return f"{where}: there is no setting {name!r}{meant}; `detseg init all.toml` writes a file with all"
    if problem["type"] == "model_type" and name in _SECTIONS:
        variable = f"{ENV_PREFIX}{name.upper()}__..."
        return f"{where}: {name} is a section: options go below [{name}], or into {variable}"
    more = f" ({error.error_count() - 1} more after it)" if error.error_count() > 1 else ""
    return f"{where}: {name}: {problem['msg'].removeprefix('Value error, ')}{more}"


def _known_names() -> list[str]:
    options = [f"{name}.{option}" for name, section in _SECTIONS.items() for option in section.model_fields]
    classes = [f"classes.0.{name}" for name in ClassSettings.model_fields]
    changes = [f"taxonomy.changes.0.{name}" for name in ChangeSettings.model_fields]
    return [*Settings.model_fields, *options, *classes, *changes]


def settings_template(settings: Settings | None = None) -> str:
    """The commented ``detseg.toml`` that ``detseg init`` writes: every setting with its value or default."""
    given = settings or Settings()
    lines = [
        "# Settings of detseg. Variables go over this file (DETSEG_MODEL__DETECTOR), flags over both.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        if name not in (*_SECTIONS, "root", "classes"):
            lines += _option_lines(name, field, getattr(given, name))
    for name, section in _SECTIONS.items():
        if name == "taxonomy":
            continue
        lines += [f"# {section.__doc__}", f"[{name}]"]
        for option, field in section.model_fields.items():
            lines += _option_lines(option, field, getattr(getattr(given, name), option))
    lines += ["# What annotators are asked for. Without any [[classes]], the models' own labels are taken."]
    for one in given.classes:
        lines += ["[[classes]]"]
        lines += [f"{name} = {_to_toml(value)}" for name, value in one if value is not None]
        lines += [""]
    if not given.classes:
        lines += [
            "# [[classes]]",
            '# name = "bolt"',
            '# kind = "thing"            # "stuff" for what cannot be counted',
            '# colour = "#d1495b"',
            '# aliases = ["screw"]       # other names that a model uses for it',
            '# definition = "A threaded pin with a head."',
            '# dos = ["Label bolts that are partly hidden."]',
            '# donts = ["No pins without a thread: those are rivets."]',
            '# examples = ["guide/bolt.jpg"]',
            "",
            "# How the classes have changed, the oldest first: rename, merge, drop or split.",
            "# [[taxonomy.changes]]",
            '# id = "2026-11-bolts"',
            "# date = 2026-11-03",
            '# kind = "merge"',
            '# old = ["hex bolt", "stud"]',
            '# new = "bolt"',
            '# reason = "Nobody could tell them apart."',
            "",
        ]
    for change in given.taxonomy.changes:
        lines += ["[[taxonomy.changes]]", *(f"{name} = {_to_toml(value)}" for name, value in change), ""]
    return "\n".join(lines)


def _option_lines(name: str, field: FieldInfo, value: object) -> list[str]:
    if value is None and field.default is not None:  # what is switched off is not the default
        value = ""
    comment = "# " if value is None else ""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    named = f" ({', '.join(map(json.dumps, choices))})" if choices else ""
    return [f"# {field.description}{named}", f"{comment}{name} = {_to_toml(value)}".rstrip(), ""]


def _to_toml(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, SecretStr):
        return json.dumps(value.get_secret_value())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_to_toml(one)}" for name, one in value.items()) + "}"
    plain = isinstance(value, bool | int | float | tuple)
    text = json.dumps(value if plain else str(value), ensure_ascii=False)
    return text.replace("\x7f", r"\u007f")  # a letter to JSON, and none to TOML
