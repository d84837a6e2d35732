"""What is not a checkpoint, or not one for this place, is one line that says what to do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ResNetConfig, ResNetForImageClassification
from transformers.utils import logging as transformers_logging

from detseg.errors import ModelError
from detseg.models.engine import choose_device
from detseg.models.loading import load_predictor
from detseg.models.predictor import PredictorOptions
from tests.models import tiny

Folder = Callable[[str], str]
OPTIONS = PredictorOptions(device="cpu")


@pytest.fixture
def copy(checkpoint: Folder, tmp_path: Path) -> Path:
    """A DETR of one's own, to be broken."""
    return Path(shutil.copytree(checkpoint("detr"), tmp_path / "copy"))


def refused(detector: object = None, segmenter: object = None) -> str:
    with pytest.raises(ModelError) as caught:
        load_predictor(
            None if detector is None else str(detector),
            None if segmenter is None else str(segmenter),
            options=OPTIONS,
        )
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_to_load() -> None:
    assert "neither a detector nor a segmenter" in refused()


def test_an_empty_folder_has_no_config(tmp_path: Path) -> None:
    assert f"{tmp_path} has no config.json" in refused(tmp_path)
    (tmp_path / "training").mkdir()
    assert f"{tmp_path} is a training that has not ended" in refused(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    message = refused(tmp_path / "nowhere")
    assert "nowhere is not there" in message
    assert "give a folder or a hub's model name" in message


def test_a_file_is_not_a_checkpoint(copy: Path) -> None:
    assert "is a file, not a checkpoint" in refused(copy / "model.safetensors")


def test_a_missing_preprocessor(copy: Path) -> None:
    (copy / "preprocessor_config.json").unlink()
    assert "has no preprocessor_config.json" in refused(copy)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("yolo11n.pt", "has pickled weights, which can run code .* `yolo export format=onnx`"),
        ("detector.pth", "has pickled weights, .* save_torchvision"),
        ("yolo11n.engine", r"is no file that detseg loads: give a folder .* \.onnx"),
        ("yolo11n.torchscript", "is no file that detseg loads"),
    ],
)
def test_files_of_other_tools_say_what_to_give(tmp_path: Path, file: str, words: str) -> None:
    (tmp_path / file).write_bytes(b"PK\x03\x04")
    assert re.search(words, refused(tmp_path / file))


def test_a_folder_of_pickles_is_told_from_one_without_a_config(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"PK\x03\x04")
    assert "pickled weights only (best.pt)" in refused(tmp_path)


@pytest.mark.parametrize("inside", ["checkpoint-500", "snapshots/0a1b"])
def test_the_folder_around_a_checkpoint_names_it(copy: Path, tmp_path: Path, inside: str) -> None:
    around = tmp_path / "around"
    shutil.copytree(copy, around / inside)
    assert f"save_pretrained (of model and processor), as {around / inside} is" in refused(around)


@pytest.mark.parametrize("whole", [True, False])
def test_an_adapter_is_not_left_out_in_silence(copy: Path, whole: bool) -> None:
    (copy / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    if not whole:
        (copy / "model.safetensors").rename(copy / "adapter_model.safetensors")
        (copy / "config.json").unlink()
    message = refused(copy)
    assert ("beside the weights of a model" if whole else "without its model") in message
    assert "merge_and_unload()" in message


@pytest.mark.parametrize("method", ["torchao", "bitsandbytes", "gptq", "fp8", "unheard-of"])
def test_quantized_weights_are_not_taken_for_floats(copy: Path, method: str) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": method}}))
    assert f"is quantized ({method})" in refused(copy)


@pytest.mark.parametrize("labels", [["bolt", "nut", "gear"], {"bolt": 0, "nut": 1, "gear": 2}])
def test_an_id2label_the_wrong_way_round(copy: Path, labels: object) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "id2label": labels}))
    assert "does not name classes by number" in refused(copy)


@pytest.mark.parametrize("name", ["model.fp16.safetensors", "model-00001-of-00002.safetensors"])
def test_weights_under_another_name(copy: Path, name: str) -> None:
    (copy / "model.safetensors").rename(copy / name)
    assert f"has weights in {name}, and model.safetensors or" in refused(copy)


def test_a_config_does_not_lead_to_a_pickle(copy: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "adapter_model.bin")
    config = json.loads((copy / "config.json").read_text())
    named = {**config, "transformers_weights": "adapter_model.bin"}
    (copy / "config.json").write_text(json.dumps(named))
    assert "has pickled weights (adapter_model.bin, in its config.json)" in refused(copy)


def test_a_pointer_of_git_lfs_is_no_damaged_file(copy: Path) -> None:
    (copy / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    assert "a pointer of Git LFS in the place of model.safetensors: run `git lfs pull`" in refused(copy)


def test_a_folder_of_an_export_names_the_file(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model.onnx")
    assert f"or give {copy / 'model.onnx'} if it is an export of YOLO or RF-DETR" in refused(copy)


def test_missing_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    assert "has no weights: model.safetensors was expected" in refused(copy)


def test_pickled_weights_are_never_read(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    message = refused(copy)
    assert "pickled weights only (pytorch_model.bin)" in message
    assert "save_pretrained" in message


def test_truncated_weights(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "cannot be loaded" in refused(copy)


def test_lost_weights_are_not_made_up(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    gone = next(name for name in tensors if "class_labels_classifier" in name)
    del tensors[gone]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 1 weight of a DetrForObjectDetection" in refused(copy)


def test_lost_statistics_of_batch_norms_are_not_made_up(tmp_path: Path) -> None:
    folder = tiny.save("rt_detr_v2", tmp_path / "averaged")  # as of averages over the parameters alone
    weights = load_file(folder / "model.safetensors")
    kept = {name: one for name, one in weights.items() if "running_" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert re.search(r"lacks \d+ weights .* \(first .*running_mean\)", refused(folder))


def test_weights_of_another_shape(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["d_model"] = 64
    (copy / "config.json").write_text(json.dumps(config))
    assert "has weights of another model: bbox_predictor.layers.0.bias is (32,), not (64,)" in refused(copy)


def test_weights_that_are_not_numbers(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert "weights that are not numbers" in refused(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json is not JSON"),
        ("[]", "cannot be loaded: config.json is no JSON object"),
        ("{}", "does not name its architecture in config.json"),
        ('{"model_type": "moose", "architectures": ["Moose"]}', "is no detector but a Moose"),
        ('{"architectures": ["DetrForObjectDetection"], "d_model": "x"}', "cannot be loaded"),
    ],
)
def test_a_config_that_is_none(copy: Path, text: str, message: str) -> None:
    (copy / "config.json").write_text(text)
    assert message in refused(copy)


def test_a_segmenter_given_as_a_detector_says_which_flag(checkpoint: Folder) -> None:
    message = refused(checkpoint("mask2former"))
    assert "is a segmenter" in message
    assert "give it as --segmenter, not as --detector" in message


@pytest.mark.parametrize("kind", ["detr", "rt_detr_v2"])
def test_a_detector_given_as_a_segmenter_says_which_flag(checkpoint: Folder, kind: str) -> None:
    assert "is a detector" in refused(segmenter=checkpoint(kind))
    assert "give it as --detector, not as --segmenter" in refused(segmenter=checkpoint(kind))


def test_a_classifier_is_neither(copy: Path) -> None:
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 4], depths=[1, 1], num_labels=2)
    (copy / "model.safetensors").unlink()
    ResNetForImageClassification(config).save_pretrained(copy)
    assert "is no detector but a ResNetForImageClassification" in refused(copy)
    assert "is no segmenter but a ResNetForImageClassification" in refused(segmenter=copy)


def test_code_beside_the_weights_is_never_run(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (copy / "config.json").write_text(json.dumps(config))
    trace = copy / "it-ran"
    (copy / "own.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    load_predictor(str(copy), None, options=OPTIONS)
    assert not trace.exists()


def test_the_hub_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the tests need no network
    message = refused("nobody/no-such-model")
    assert message.startswith("nobody/no-such-model is no folder, and the model hub did not give it")
    assert "check the name and the network" in message


def test_a_revision_of_the_hub_is_the_one_that_is_loaded(
    checkpoint: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two revisions in a cache like that of the hub; no network."""
    repository = tmp_path / "models--owner--detr"
    for revision, kind in (("a" * 40, "detr"), ("b" * 40, "rt_detr_v2")):
        shutil.copytree(checkpoint(kind), repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    newest = load_predictor("owner/detr", None, options=OPTIONS)
    assert newest.version == load_predictor(checkpoint("detr"), None, options=OPTIONS).version
    pinned = load_predictor(f"owner/detr@{'b' * 40}", None, options=OPTIONS)
    other = load_predictor(checkpoint("rt_detr_v2"), None, options=OPTIONS).version
    assert pinned.version.partition("@")[2] == other.partition("@")[2]
    assert pinned.version.partition("@")[0] == "detr"
    assert "did not give it" in refused(f"owner/detr@{'c' * 40}")


def test_a_device_that_is_not_there() -> None:
    for name in ("cuda:93", "moose"):
        with pytest.raises(ModelError, match=f"the device '{name}' is not there: use auto"):
            choose_device(name)
    assert choose_device("auto").type in ("cuda", "mps", "cpu")


def test_loading_leaves_the_librarys_settings_alone(
    checkpoint: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    load_predictor(checkpoint("detr"), checkpoint("mask2former"), options=OPTIONS)
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
