import pytest

from detseg.labelstudio.release import other_release


@pytest.mark.parametrize("release", ["1.23.2", "1.23.0", "1.23.9.dev1"])
def test_the_tested_release_and_its_mends_need_no_word(release: str) -> None:
    assert list(other_release(release, "http://ls.example")) == []


@pytest.mark.parametrize("release", ["1.22.0", "1.24.0", "2.0.0", "unknown"])
def test_another_release_is_one_line(release: str) -> None:
    (line,) = other_release(release, "http://ls.example")
    assert line.startswith(
        f"Label Studio at http://ls.example is {release}, this detseg was tested with 1.23.2"
    )
    assert "\n" not in line
