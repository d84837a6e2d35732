"""JSON files of lists that are gone through in parts: what json.loads reads, at any size of the parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detseg.errors import FormatError, NotJson
from detseg.formats.json_lists import read_lists

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=6,
)


def read(path: Path, *names: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in names}
    data = path.read_bytes()

    def keep(name: str, value: Any, offset: int, n_bytes: int) -> None:
        assert json.loads(data[offset : offset + n_bytes]) == value
        found[name].append(value)

    wanted = {name: lambda *place, name=name: keep(name, *place) for name in names}
    for chunk_bytes in (5, 1 << 22):  # the first cuts every value somewhere
        for values in found.values():
            values.clear()
        read_lists(path, wanted, "a dataset", chunk_bytes=chunk_bytes)
    return found


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    data=st.dictionaries(texts, values, max_size=5), indent=st.sampled_from((None, 1)), ascii_=st.booleans()
)
def test_what_json_reads(
    data: dict[str, Any],
    indent: int | None,
    ascii_: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + json.dumps(data, indent=indent, ensure_ascii=ascii_).encode())
        lists = {name: value for name, value in data.items() if isinstance(value, list)}
        assert read(path, *lists) == lists
    path.write_text(json.dumps([data, 7, [data]], indent=indent))
    assert read(path, "") == {"": [data, 7, [data]]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": [1, 2', "is not JSON: expected a comma or ]"),
        (b'{"a": [1, {"b": "', "is not JSON: Unterminated string"),
        (b'{"a": [1, 2,]}', "is not JSON: Expecting value"),
        (b'{"a": [1 2]}', "is not JSON: expected a comma or ]"),
        (b'{"a": [1]} {}', "is not JSON: more after its end"),
        (b"{1: [1]}", "is not JSON: expected a name and a colon"),
        (b"", "is not JSON: Expecting value"),
        ('{"a": [1]}'.encode("utf-16"), "is not text in UTF-8"),
        (b'{"a": ["\xff"]}', "is not JSON: it is not text in UTF-8"),
        (b'{"a": ["\\ud800"]}', "half a letter"),
        (b'{"a": [' + b"[" * 100_000, "too deeply"),
        (b'{"a": [' + b"1" * 5_000 + b"]}", "a number of too many digits"),
        (b'{"a": 7}', 'is not a dataset: expected a list under "a"'),
        (b"[1]", 'is not a dataset: expected a list under "a"'),
    ],
)
def test_what_is_wrong_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=said.replace("]", r"\]")) as raised:
        read(path, "a")
    assert isinstance(raised.value, NotJson) == ("is not JSON" in said or "UTF-8" in said)
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_lists(tmp_path / "gone.json", {}, "a dataset")


def test_what_looks_like_the_end_of_an_object_is_none(tmp_path: Path) -> None:
    """Objects of a list are decoded together where they can be told apart, and each has its own place."""
    path = tmp_path / "a.json"
    for elements in (
        '{"a": "}, {"}, {"b": 1}',
        '{"a": "},{ },{"},7,{}',
        '{"a": [{"b": 1}, {"c": 2}]}, {"d": 3}, {"e": [{}, {}]}',
        '{"a": "}]"}, {"b": "\u00e9"} , {"c": 1e5}',
        '{"a": "\u00e9}, {\u4e16"},\n{"b": {"c": {}}}\n, {}',
        ", ".join(f'{{"n": {n}}}' for n in range(3000)),
    ):
        path.write_text(f'{{"x": [{elements}], "y": {{"z": [{{}}]}}, "w": [{{"v": 0}}]}}', encoding="utf-8")
        data = json.loads(path.read_text(encoding="utf-8"))
        assert read(path, "x", "w") == {"x": data["x"], "w": data["w"]}


def test_values_that_are_no_lists_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"info": {"year": 2026}, "a": [1], "licence": "MIT"}')
    assert read_lists(path, {"a": lambda *_: None}, "a dataset", kept=("info",)) == {"info": {"year": 2026}}
    assert read_lists(path, {"a": lambda *_: None}, "a dataset") == {}
