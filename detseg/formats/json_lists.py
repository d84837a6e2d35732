"""JSON files of lists that may be longer than memory: the lists grow on disk, and are joined at the end."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from detseg.files import replacing


class JsonLists:
    """One JSON object in the making. Each of its lists is a file without a name until ``stack`` ends."""

    def __init__(self, names: tuple[str, ...], stack: ExitStack) -> None:
        self._lists = {name: stack.enter_context(_spool()) for name in names}
        self.counts = dict.fromkeys(names, 0)

    def append(self, name: str, entry: Mapping[str, Any]) -> None:
        """Add an entry to one of the lists."""
        comma = ",\n" if self.counts[name] else ""
        self._lists[name].write(comma + json.dumps(entry, separators=(",", ":")))
        self.counts[name] += 1

    def write(self, path: Path, head: Mapping[str, Any]) -> None:
        """Write the object: what is in ``head``, and the lists."""
        with replacing(path) as file:
            file.write("{")
            for name, value in head.items():
                file.write(f"{json.dumps(name)}: {json.dumps(value)},\n")
            for position, (name, spooled) in enumerate(self._lists.items()):
                file.write((",\n" if position else "") + f"{json.dumps(name)}: [")
                spooled.seek(0)
                shutil.copyfileobj(spooled, file)
                file.write("]")
            file.write("}\n")


def _spool() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8")
