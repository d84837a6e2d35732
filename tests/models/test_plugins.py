from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from detseg.errors import ImageError, ModelError
from detseg.geometry.masks import mask_to_bitmap
from detseg.models.plugins import _MEMBERS, find_plugin, load_plugin
from detseg.models.predictor import Predictor, PredictorOptions
from detseg.taxonomy import taxonomy_of_labels
from detseg.types import Box, DecodedImage, Instance
from tests.models.made import made_image

PAGE = Path(__file__).parents[2] / "docs" / "predictors.md"
GOOD = """
class Good:
    taxonomy, version, detector, segmenter, unmapped = CLASSES, "good@00000001", "", "", {}

    def __init__(self, *, options, taxonomy):
        pass

    def predict(self, batch):
        return tuple((Instance("bolt", "thing", Box(1, 1, 5, 5), None, 0.5, "detector"),) for _ in batch)
"""
HEAD = """
from detseg.taxonomy import Taxonomy, taxonomy_of_labels
from detseg.types import Box, Instance
from detseg.errors import ImageError

CLASSES = taxonomy_of_labels(["bolt"], ["belt"])

class Away(Exception):  # as most libraries have them: no kin of Python's own
    pass
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a module and the metadata of its distribution on the path, as an installer does."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(module: str, code: str, entry_points: str, *, distribution: str = "") -> None:
        (tmp_path / f"{module}.py").write_text(code)
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{distribution or module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution or module}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[detseg.predictors]\n{entry_points}\n")

    return write


def load(name: str = "plugin:mine", **more: Any) -> Predictor:
    return load_plugin(name, None, options=PredictorOptions(**more))


def example() -> list[str]:
    """The blocks of code from the page's complete example on."""
    _, heading, rest = PAGE.read_text().partition("## A complete example\n")
    assert heading
    return re.findall(r"(?ms)^```\w+\n(.*?)^```", rest)


def test_the_example_of_the_docs_runs(install: Install) -> None:
    code, project, _ = example()
    assert len(re.findall(r"(?m)^.*\S", code)) <= 32
    (entry_points,) = re.findall(r'(?ms)^\[project\.entry-points\."detseg\.predictors"\]\n(.*?)\n\n', project)
    install("bright_spots", code, entry_points.replace('"', ""), distribution="bright-spots")
    predictor = load("plugin:bright-spots", box_threshold=0.9)
    image, dark = _image_with_two_spots(), made_image(20, 20)
    (spots, none) = predictor.predict([image, dark])
    assert [(one.label, one.kind, one.seen_by) for one in spots] == [("spot", "thing", "both")] * 2
    assert [one.box for one in spots] == [Box(20, 5, 26, 9), Box(2, 3, 10, 8)]  # the brighter one first
    assert [mask_to_bitmap(one.mask).sum() for one in spots if one.mask] == [24, 40]
    assert spots[0].score == pytest.approx(1.0)
    assert none == ()
    assert predictor.predict([]) == ()
    assert (predictor.detector, predictor.segmenter) == ("plugin:bright-spots", "")
    assert re.fullmatch(r"bright-spots@[0-9a-f]{8}", predictor.version)
    assert predictor.version != load("plugin:bright-spots", box_threshold=0.8).version


def test_the_example_of_the_docs_takes_the_projects_taxonomy(install: Install) -> None:
    code, *_ = example()
    install("bright_spots", code, "bright-spots = bright_spots:BrightSpots")
    options = PredictorOptions(box_threshold=0.9)
    classes = taxonomy_of_labels(["bolt", "Spot"])
    predictor = load_plugin(None, "plugin:bright-spots", options=options, taxonomy=classes)
    assert predictor.taxonomy == classes
    assert {one.label for one in predictor.predict([_image_with_two_spots()])[0]} == {"Spot"}
    assert (predictor.detector, predictor.segmenter) == ("", "plugin:bright-spots")


def test_the_page_names_every_member() -> None:
    documented = set(re.findall(r"`(\w+)(?:\(batch\))?`", PAGE.read_text()))
    assert set(_MEMBERS) <= documented


def test_what_is_checked_is_the_protocol() -> None:
    members = {name for name, _ in inspect.getmembers(Predictor) if not name.startswith("_")}
    assert set(_MEMBERS) == members


def test_a_plugin_that_nobody_installed_is_one_line(install: Install) -> None:
    install("mine", HEAD + GOOD, "mine = mine:Good")
    assert find_plugin("other") is None
    assert find_plugin("mine") is not None
    with pytest.raises(ModelError, match=r"plugin:other is not installed \(there are: plugin:mine\)"):
        load("plugin:other")


def test_two_plugins_of_one_name_are_one_line(install: Install) -> None:
    install("mine", HEAD + GOOD, "mine = mine:Good")
    install("yours", HEAD + GOOD, "mine = yours:Good")
    with pytest.raises(ModelError, match="mine:Good and as yours:Good"):
        load()


def test_a_plugin_answers_alone(install: Install) -> None:
    install("mine", HEAD + GOOD, "mine = mine:Good")
    with pytest.raises(ModelError, match="answers alone"):
        load_plugin("plugin:mine", "folder", options=PredictorOptions())
    both = load_plugin("plugin:mine", "plugin:mine", options=PredictorOptions())
    assert both.detector == both.segmenter == "plugin:mine"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import a_module_that_is_not_there", r"cannot be imported: ModuleNotFoundError"),
        ("class Good", "cannot be imported: SyntaxError"),
        ("Bad = 1", "cannot be imported: AttributeError"),
        ("Good = 1", "no class and no function"),
        ("raise RuntimeError('first\\nsecond')", "cannot be imported: RuntimeError: first second"),
        (GOOD.replace("*, options, taxonomy", ""), "cannot be made: TypeError"),
        (
            GOOD.replace("        pass", "        raise OSError('no weights')"),
            "cannot be made: OSError: no weights",
        ),
        (GOOD.replace("predict", "answer"), "it has no 'predict'"),
        (
            GOOD.replace("def predict(self, batch)", "predict = 1\n    def other(self, batch)"),
            "a method there",
        ),
        (GOOD.replace('"good@00000001"', "1"), "'version' is a str there, not 1"),
        (GOOD.replace('"good@00000001"', '""'), "has the version ''"),
        (GOOD.replace('"good@00000001"', '"v1"'), "has the version 'v1', and name@8hex was expected"),
        (GOOD.replace("        pass", "        raise Away('key')"), "cannot be made: Away: key"),
        (GOOD.replace("        pass", "        raise SystemExit(2)"), "cannot be made: SystemExit: 2"),
        (GOOD.replace("= CLASSES", "= ['bolt']"), "'taxonomy' is a Taxonomy there"),
        (GOOD.replace("{}", "None"), "'unmapped' is a Mapping there"),
        (f"{GOOD}\n    files = 'weights.onnx'", "'files' is a tuple of paths there, not 'weights.onnx'"),
    ],
)
def test_a_plugin_that_is_no_predictor_is_one_line(install: Install, code: str, said: str) -> None:
    install("mine", HEAD + code, "mine = mine:Good")
    with pytest.raises(ModelError, match=said) as caught:
        load()
    assert "plugin:mine" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("()", "0 answers for 1 image"),
        ("None", "one tuple of Instance per image"),
        ("(('bolt', 0.5),)", "one tuple of Instance per image"),
        ("((Instance('nut', 'thing', Box(1, 1, 5, 5), None, 0.5, 'detector'),),)", "'nut'"),
        ("((Instance('bolt', 'thing', Box(1, 1, 500, 5), None, 0.5, 'detector'),),)", "not inside"),
        ("((Instance('bolt', 'thing', Box(1, 1, 5, 5), None, None, 'detector'),),)", "score"),
        ("((Instance('bolt', 'thing', Box(1, 1, 5, 5), None, 0.5, 'me'),),)", "seen_by is 'me'"),
        ("((Instance('bolt', 'thing', None, batch[0].rgb, 0.5, 'segmenter'),),)", "bitmap_to_mask"),
        ("(tuple(()) for _ in batch)", "a generator is no tuple"),
        ("(1 / 0 for _ in batch)", "a generator is no tuple"),
        ("((one for one in ()),)", "a generator is no tuple"),
        ("1 / 0", r"failed in predict: ZeroDivisionError: division by zero \(mine.py, line \d+\)"),
        ("next(iter(()))", "failed in predict: StopIteration"),
        ("exit(3)", "failed in predict: SystemExit: 3"),
        ("batch[0].rgb.fill(0)", "failed in predict: ValueError: assignment destination is read-only"),
        ("setattr(self, 'unmapped', {'nut': 'many'})", "'unmapped' counts labels"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_one_line(install: Install, answer: str, said: str) -> None:
    code = re.sub(r"return tuple.*", f"return {answer}", GOOD)
    install("mine", HEAD + code, "mine = mine:Good")
    with pytest.raises(ModelError, match=said) as caught:
        load().predict([made_image(20, 20)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["np.float32", "torch.tensor"])
def test_numbers_of_other_libraries_become_pythons(install: Install, number: str) -> None:
    made = f"Box(*map({number}, (1.0, 1.0, 5.0, 5.0))), None, {number}(0.5), 'detector'"
    answer = f"return tuple((Instance('bolt', 'thing', {made}),) for _ in batch)"
    code = f"import numpy as np\nimport torch\n{HEAD}{re.sub(r'return tuple.*', answer, GOOD)}"
    install("mine", code, "mine = mine:Good")
    ((found,),) = load().predict([made_image(20, 20)])
    assert found == Instance("bolt", "thing", Box(1.0, 1.0, 5.0, 5.0), None, 0.5, "detector")
    assert found.box
    assert {type(value) for value in (*found.box.xyxy, found.score)} == {float}


def test_what_a_plugin_prints_is_not_our_output(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    code = GOOD.replace("pass", "print('loaded')").replace("return", "print('predicting')\n        return")
    install("mine", HEAD + code, "mine = mine:Good")
    load().predict([made_image(20, 20)])
    assert capsys.readouterr() == ("", "loaded\npredicting\n")


def test_stdout_is_ours_again_after_calls_that_overlap(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    events = "import threading\nentered, leave = threading.Event(), threading.Event()\n"
    first = GOOD.replace("Good", "First").replace("return", "entered.set(); leave.wait(60); return")
    last = GOOD.replace("Good", "Last").replace("return", "leave.set(); self.first.join(60); return")
    install("mine", HEAD + events + first + last, "first = mine:First\nlast = mine:Last")
    predictor = load("plugin:last")
    images, module = [made_image(20, 20)], sys.modules["mine"]
    module.Last.first = Thread(target=load("plugin:first").predict, args=(images,))  # type: ignore[attr-defined]
    module.Last.first.start()  # type: ignore[attr-defined]
    assert module.entered.wait(60)
    predictor.predict(images)
    print("ours")
    assert capsys.readouterr().out == "ours\n"


def test_an_image_that_cannot_be_predicted_is_its_own_error(install: Install) -> None:
    code = re.sub(r"return tuple.*", "raise ImageError('too dark')", GOOD)
    install("mine", HEAD + code, "mine = mine:Good")
    with pytest.raises(ImageError, match="too dark"):
        load().predict([made_image(20, 20)])


def test_classes_that_the_project_does_not_have_are_one_line(install: Install) -> None:
    install("mine", HEAD + GOOD, "mine = mine:Good")
    for project in (taxonomy_of_labels(["nut"]), taxonomy_of_labels(["belt"], ["bolt"])):
        with pytest.raises(ModelError, match="thing 'bolt'"):
            load_plugin("plugin:mine", None, options=PredictorOptions(), taxonomy=project)


def test_answers_are_sorted_and_clipped(install: Install) -> None:
    instances = [
        Instance("bolt", "thing", Box(1, 1, 5, 5), None, 0.2, "detector"),
        Instance("bolt", "thing", Box(1, 1, 20.5, 5), None, 0.9, "detector"),
    ]
    code = re.sub(r"return tuple.*", f"return ({instances!r},)", GOOD)
    install("mine", HEAD + code, "mine = mine:Good")
    (found,) = load().predict([made_image(20, 20)])
    assert [(one.score, one.box) for one in found] == [(0.9, Box(1, 1, 20, 5)), (0.2, Box(1, 1, 5, 5))]


def _image_with_two_spots() -> DecodedImage:
    image = made_image(30, 20)
    rgb = np.full_like(image.rgb, 40)
    rgb[3:8, 2:10] = 240
    rgb[5:9, 20:26] = 255
    return DecodedImage(image.ref, image.size, rgb)
