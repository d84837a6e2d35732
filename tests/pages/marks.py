"""Where the generated parts of a page go: between ``<!-- NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

import re


def with_generated(page: str, name: str, text: str) -> str:
    """Return the page with the text between the marks of that name. ValueError for a page without them."""
    pattern = rf"(?ms)(^<!-- {name} -->\n).*?(^<!-- end -->$)"
    changed, n_places = re.subn(pattern, lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", page)
    if n_places != 1:
        raise ValueError(f"the page has {n_places} places for {name!r}, not one")
    return changed


def table_row(*cells: str) -> str:
    """Return a row of a Markdown table; a bar within a cell is escaped."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
