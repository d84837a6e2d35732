"""A person at the real page after the classes changed: what they see, choose, and send back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from detseg.config import ClassSettings, Settings
from detseg.config.classes import ChangeSettings, TaxonomySettings
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.project import fit_project
from detseg.pipeline.pushing.guidance import follow_guidance
from tests.e2e.page import LabelingPage, labeling_page
from tests.labelstudio.scenes import push_scene, write_image
from tests.workers import first_port

_EVIL = "<script>window.EVIL = 1</script><img src=x onerror='window.EVIL = 2'>"
CHANGES = TaxonomySettings(
    changes=(
        ChangeSettings(
            id="1", date=date(2026, 11, 1), kind="rename", old=("bolt",), new=("screw",), reason="a"
        ),
        ChangeSettings(
            id="2", date=date(2026, 11, 2), kind="split", old=("nut",), new=("hex", "wing"), reason="b"
        ),
    )
)


@pytest.fixture
def tab(label_studio_state: Path) -> Iterator[LabelingPage]:
    from detseg.labelstudio.server import EmbeddedLabelStudio

    with labeling_page(EmbeddedLabelStudio(label_studio_state, port=first_port(18080)).up()) as page:
        yield page


def test_old_regions_say_what_became_of_them_and_get_new_labels(
    client: LabelStudioClient, new_title: Callable[[], str], tmp_path: Path, tab: LabelingPage
) -> None:
    title = new_title()
    pushed = push_scene(client, title, tmp_path / "images" / "a.png")
    annotation = client.create_annotation(
        pushed.id, client.task(pushed.id)["predictions"][0]["result"], lead_time_s=5.0
    )
    example = write_image(tmp_path / "example.png")
    screw = ClassSettings(name="screw", definition=f"A pin. {_EVIL}", dos=(_EVIL,), examples=(example.uri,))
    others = (ClassSettings(name="hex"), ClassSettings(name="wing"), ClassSettings(name="belt", kind="stuff"))
    settings = Settings(classes=(screw, *others), taxonomy=CHANGES)
    taxonomy = settings.declared_taxonomy
    assert taxonomy is not None
    project = fit_project(
        client, title, taxonomy, client.find_projects(title), relabeling=settings.relabeling
    )
    follow_guidance(settings.declared_taxonomy, client, project, settings.path)

    tab.open_task(pushed.project, pushed.id, n_regions=7)
    assert sorted(set(tab.listed_labels())) == ["belt", "bolt (now screw)", "nut: hex or wing?"]
    buttons = tab.page.locator(".lsf-label:visible").all_inner_texts()
    assert {text.split("\n")[0] for text in buttons} == {"screw", "hex", "wing", "belt"}

    nut = next(one.id for one in tab.regions() if one.type == "rectangleregion" and "nut" in one.label)
    tab.select(nut)
    tab.choose("box", "hex")
    tab.update()
    results = client.session.json("GET", f"/api/annotations/{annotation}/")["result"]
    labels = {one["id"]: one["value"][one["type"]] for one in results}
    sent = {one["id"]: one["value"][one["type"]] for one in pushed.sent["predictions"][0]["result"]}
    assert labels == {**sent, nut: ["hex"]}  # all others as people left them, in the old words

    tab.page.get_by_role("button", name="Instructions").click()
    guide = tab.page.locator("section.detseg-classes")
    assert f"A pin. {_EVIL}" in guide.inner_text()
    tab.page.wait_for_function("() => document.querySelector('.detseg-classes img')?.naturalWidth === 400")
    assert tab.page.evaluate("() => window.EVIL") is None
