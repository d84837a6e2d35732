"""The tables of docs/families.md, made from the registry: ``python -m tests.models.families_page``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from detseg.models.families import FAMILIES, Family
from detseg.models.networks.semantic import Semantic
from detseg.models.networks.torchvision_models import TorchvisionSemantic

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
KINDS = ("boxes", "names", "both", "masks", "classes", "prompted", "exported")
_HEAD = (
    "| family | boxes | masks | one pass | usual weights | their licence | on the command line |\n"
    "|---|---|---|---|---|---|---|\n"
)


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(), FAMILIES))


def with_tables(page: str, families: Mapping[str, Family]) -> str:
    """The page with the table of each kind between its marks, made anew."""
    for kind in KINDS:
        pattern = rf"(?ms)(^<!-- {kind} -->\n).*?(^<!-- end -->$)"
        rows = "".join(table(kind, families))
        page, n_tables = re.subn(pattern, lambda found, rows=rows: found[1] + rows + found[2], page)
        if n_tables != 1:
            raise ValueError(f"the page has {n_tables} places for the table {kind!r}, not one")
    return page


def table(kind: str, families: Mapping[str, Family]) -> Iterator[str]:
    """Its lines. Architectures that are run alike from the same weights share one."""
    chosen = {name: family for name, family in families.items() if kind_of(family) == kind}
    by_weights: dict[str, list[str]] = {}
    for name, family in chosen.items():
        by_weights.setdefault(family.weights, []).append(name)
    yield _HEAD
    for names in by_weights.values():
        yield _row(names, chosen[names[0]], kind)


def kind_of(family: Family) -> str:
    """The table that a family belongs in."""
    if family.exported:
        return "exported"
    if family.prompt == "boxes":
        return "prompted"
    if family.prompt == "names":
        return "names"
    if family.network in (Semantic, TorchvisionSemantic):
        return "classes"
    return "both" if family.boxes and family.masks else "boxes" if family.boxes else "masks"


def _row(names: list[str], family: Family, kind: str) -> str:
    hub = family.kind != "torchvision" and not family.exported
    name = "FOLDER" if family.kind == "torchvision" or not family.weights else family.weights
    cells = (
        f"{family.kind}: " + ", ".join(f"`{name}`" for name in names),
        "yes" if family.boxes else "the detector's" if kind == "prompted" else "the masks'",
        "yes" if family.masks else "",
        "yes" if family.masks and kind != "prompted" else "",
        _weights(family.weights, hub=hub),
        _licence(family),
        f"`{_flags(family, name, kind)}`",
    )
    return "| " + " | ".join(cells) + " |\n"


def _flags(family: Family, name: str, kind: str) -> str:
    if kind == "prompted":
        return f"--detector DETECTOR --segmenter {name}"
    if family.boxes and family.masks:
        return f"--detector {name} --segmenter {name}"
    return f"--detector {name} --segmenter ''" if family.boxes else f"--detector '' --segmenter {name}"


def _weights(name: str, *, hub: bool) -> str:
    if hub and name:
        return f"[{name}](https://huggingface.co/{name})"
    return f"`{name}`" if name else "your own"


def _licence(family: Family) -> str:
    if not family.weights:
        return ""
    if family.kind == "torchvision":
        return "torchvision does not say"
    return {"": "not known", "other": "terms of its own"}.get(family.licence, family.licence)


if __name__ == "__main__":
    main()
