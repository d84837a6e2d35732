"""Folders of checkpoints as earlier releases of transformers saved them, or with a wrong list of labels."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from transformers import DetrConfig, DetrForSegmentation, TimmBackboneConfig

from detseg.errors import DetsegError, ModelError
from detseg.models.families import FAMILIES
from detseg.models.loading import load_predictor
from detseg.models.predictor import Predictor, PredictorOptions
from tests.models import tiny

LABELS = ("Caption", "Table", "Text")
KINDS = (
    *("detr", "detr_panoptic", "mask2former", "conditional_detr", "deformable_detr", "dab-detr", "rt_detr"),
    *("d_fine", "deimv2", "lw_detr", "rf_detr", "maskformer", "oneformer", "grounding-dino"),
    *("mm-grounding-dino", "omdet-turbo", "upernet", "dpt", "table-transformer"),
    *("pp_doclayout_v2", "pp_doclayout_v3"),
)
"""All families with a backbone that is a model of its own."""
SMALL = {
    "d_model": 256,
    "decoder_layers": 1,
    "encoder_layers": 1,
    "decoder_ffn_dim": 32,
    "encoder_ffn_dim": 32,
    "num_queries": 5,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DETR with masks, its ``config.json`` as transformers 4.38 to 4.57 wrote it."""
    folder = tmp_path_factory.mktemp("layout")
    backbone = TimmBackboneConfig(
        backbone="resnet50", use_pretrained_backbone=False, out_indices=[1, 2, 3, 4], num_channels=3
    )
    DetrForSegmentation(
        DetrConfig(backbone_config=backbone, id2label=dict(enumerate(LABELS)), **SMALL)
    ).save_pretrained(folder)
    processor = {"image_processor_type": "DetrImageProcessor", "size": {"height": 64, "width": 64}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub may be asked, and every connection fails the test."""

    def connect(*_: object) -> None:
        raise AssertionError("a folder asked the network")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)


def load(folder: Path, **changes: Any) -> Predictor:
    config = {
        "architectures": ["DetrForSegmentation"],
        "model_type": "detr",
        "backbone": "resnet50",
        "backbone_config": None,
        "backbone_kwargs": {"in_chans": 3, "out_indices": [1, 2, 3, 4]},
        "use_timm_backbone": True,
        "use_pretrained_backbone": True,
        "id2label": dict(enumerate(LABELS)),
        **SMALL,
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(config))
    options = PredictorOptions(device="cpu", engine="eager")
    return load_predictor(None, str(folder), options=options)


def test_a_backbone_of_an_earlier_release_is_in_the_folder(saved: Path) -> None:
    assert load(saved).taxonomy.names == LABELS
    assert load(saved, backbone_kwargs=None).taxonomy.names == LABELS  # before 4.38
    assert constants.HF_HUB_OFFLINE is False  # as it was
    with pytest.raises(ModelError, match="leaves settings on the hub"):
        load(saved, use_timm_backbone=False)


@pytest.mark.parametrize("kind", KINDS)
def test_no_family_asks_the_network_for_a_folder(tmp_path: Path, kind: str) -> None:
    folder = tiny.save(kind, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (architecture,) = config["architectures"]
    none = dict.fromkeys(("backbone", "backbone_kwargs"))
    kept = {**none, "use_timm_backbone": False, "use_pretrained_backbone": False}
    (folder / "config.json").write_text(json.dumps({**config, **kept}))
    FAMILIES[architecture].load(str(folder), architecture)
    for name, is_timm in (("resnet50", True), ("microsoft/resnet-50", False)):
        changed = {**none, "backbone": name, "backbone_config": None, "use_timm_backbone": is_timm}
        (folder / "config.json").write_text(
            json.dumps({**config, **changed, "use_pretrained_backbone": True})
        )
        with pytest.raises(ModelError) as caught:  # its weights are those of another backbone
            FAMILIES[architecture].load(str(folder), architecture)
        assert "huggingface.co" not in str(caught.value)


@pytest.mark.parametrize("n_labels", [0, 2, 7])
def test_labels_that_do_not_fit_the_weights_are_counted(saved: Path, n_labels: int) -> None:
    with pytest.raises(ModelError, match=rf"names {n_labels} labels \(id2label\), and its weights are of 3"):
        load(saved, id2label={i: f"class {i}" for i in range(n_labels)})


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("a\x1b[2J", "b", "c"), r"label 'a\\x1b\[2J' has control characters"),
        (("", "N/A", ""), "names no class"),
    ],
)
def test_labels_that_are_none(saved: Path, labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(DetsegError, match=words):
        load(saved, id2label=dict(enumerate(labels)))


def test_scores_of_another_kind_are_refused(tmp_path: Path) -> None:
    folder = tiny.save("rt_detr_v2", tmp_path / "detector", labels=("bolt", "nut"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "use_focal_loss": False}))
    with pytest.raises(ModelError, match="use_focal_loss = false"):
        load_predictor(str(folder), None, options=PredictorOptions(device="cpu", engine="eager"))


@pytest.mark.parametrize(
    "changed",
    [{"architectures": 1}, {"architectures": {"0": 1}}, {"dtype": [[1]]}, {"d_model": 1e308}],
    ids=str,
)
def test_settings_of_other_types_are_one_line(tmp_path: Path, changed: dict[str, Any]) -> None:
    folder = tiny.save("rt_detr_v2", tmp_path / "detector", labels=("bolt", "nut"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(ModelError) as caught:
        load_predictor(str(folder), None, options=PredictorOptions(device="cpu", engine="eager"))
    assert len(str(caught.value).splitlines()) == 1
