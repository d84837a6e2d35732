"""What the pages of the documentation load is found, wherever it stands."""

from pathlib import Path

import pytest

from deploy.docs import loaded_from_elsewhere


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/a.css">',
        '<img alt="" src="http://pictures.example/a.png">',
        "<p style=\"background: url('https://pictures.example/a.png')\">",
    ],
)
def test_what_a_page_loads_from_other_servers_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.html").write_text(text)
    (line,) = loaded_from_elsewhere(tmp_path)
    assert line.startswith("a.html loads ")
    assert ".example/a." in line


def test_what_a_style_sheet_loads_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@import 'https://fonts.example/a.css'; p { background: url(a.png) }")
    assert list(loaded_from_elsewhere(tmp_path)) == ["a.css loads https://fonts.example/a.css"]


def test_links_and_files_of_the_site_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org">there</a><link rel="canonical" href="https://example.org/a">'
        '<script src="assets/a.js"></script><img src="a.png"><img src="data:image/png;base64,x">'
    )
    assert not list(loaded_from_elsewhere(tmp_path))
