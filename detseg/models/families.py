"""The model families that can be loaded, by the architecture that a checkpoint's ``config.json`` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from detseg.models.checkpoints import Checkpoint, load_transformers, load_with_text
from detseg.models.engine import Engine
from detseg.models.network import Network, NetworkRequest, PromptedNetwork
from detseg.models.networks.concepts import Concepts, load_concepts
from detseg.models.networks.detection import Detection, DocumentLayout
from detseg.models.networks.detr import Detr
from detseg.models.networks.eomt import make_eomt
from detseg.models.networks.exported import RfDetrExport, YoloExport, load_onnx
from detseg.models.networks.oneformer import OneFormer, load_oneformer
from detseg.models.networks.prompted import BoxPrompted, load_from_video
from detseg.models.networks.rf_detr import RfDetr
from detseg.models.networks.semantic import Semantic
from detseg.models.networks.torchvision_checkpoints import load_torchvision
from detseg.models.networks.torchvision_models import TorchvisionDetector, TorchvisionSemantic
from detseg.models.networks.universal import Universal
from detseg.models.networks.zero_shot import GroundingDino, OmDetTurbo, Owl
from detseg.models.reviewed import Reviewed

Prompt = Literal["none", "names", "boxes"]
"""The input of a family beside the image: nothing, the names of classes (zero-shot), or a detector's
boxes."""


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture: what it answers, how it is loaded and run.

    ``kind`` is the ``model_type`` of its configuration. ``compiles`` and ``keeps_answers_in_half`` were tried
    and measured (docs/benchmarks.md); where they are False, ``engine = "auto"`` and ``precision = "auto"``
    stay with eager float32. ``weights`` names usual ones on the Hugging Face hub, ``licence`` theirs.
    ``exported`` models are ONNX files, which run on the CPU as they are.
    """

    kind: str
    boxes: bool
    masks: bool
    network: Callable[[Checkpoint, NetworkRequest, Engine], Network | PromptedNetwork]
    weights: str
    licence: str
    prompt: Prompt = "none"
    load: Callable[[str, str], Checkpoint] = load_transformers
    compiles: bool = False
    keeps_answers_in_half: bool = False
    exported: bool = False


REVIEWED = Family("reviews", True, False, Reviewed, "", "")
"""The boxes of people in the place of a detector's."""

FAMILIES: Mapping[str, Family] = {
    "DetrForObjectDetection": Family(
        "detr", True, False, Detr, "facebook/detr-resnet-50", "Apache-2.0",
        compiles=True, keeps_answers_in_half=True,
    ),
    "DetrForSegmentation": Family(
        "detr", True, True, Detr, "facebook/detr-resnet-50-panoptic", "Apache-2.0",
        compiles=True, keeps_answers_in_half=True,
    ),
    "RTDetrForObjectDetection": Family(
        "rt_detr", True, False, Detection, "PekingU/rtdetr_r50vd", "Apache-2.0"
    ),
    "RTDetrV2ForObjectDetection": Family(
        "rt_detr_v2", True, False, Detection, "PekingU/rtdetr_v2_r50vd", "Apache-2.0"
    ),
    "ConditionalDetrForObjectDetection": Family(
        "conditional_detr", True, False, Detection, "microsoft/conditional-detr-resnet-50", "Apache-2.0"
    ),
    "DeformableDetrForObjectDetection": Family(
        "deformable_detr", True, False, Detection, "SenseTime/deformable-detr", "Apache-2.0"
    ),
    "DabDetrForObjectDetection": Family(
        "dab-detr", True, False, Detection, "IDEA-Research/dab-detr-resnet-50", "Apache-2.0"
    ),
    "DFineForObjectDetection": Family(
        "d_fine", True, False, Detection, "ustc-community/dfine-medium-coco", "Apache-2.0"
    ),
    "Deimv2ForObjectDetection": Family(
        "deimv2", True, False, Detection, "Intellindust/DEIMv2_HGNetv2_N_COCO", ""
    ),
    "LwDetrForObjectDetection": Family(
        "lw_detr", True, False, Detection, "AnnaZhang/lwdetr_small_60e_coco", "Apache-2.0"
    ),
    "RfDetrForObjectDetection": Family(
        "rf_detr", True, False, Detection, "Roboflow/rf-detr-medium", "Apache-2.0"
    ),
    "YolosForObjectDetection": Family("yolos", True, False, Detection, "hustvl/yolos-small", "Apache-2.0"),
    "TableTransformerForObjectDetection": Family(
        "table-transformer", True, False, Detection, "microsoft/table-transformer-detection", "MIT"
    ),
    "PPDocLayoutV2ForObjectDetection": Family(
        "pp_doclayout_v2", True, False, DocumentLayout,
        "PaddlePaddle/PP-DocLayoutV2_safetensors", "Apache-2.0",
    ),
    "PPDocLayoutV3ForObjectDetection": Family(
        "pp_doclayout_v3", True, False, DocumentLayout,
        "PaddlePaddle/PP-DocLayoutV3_safetensors", "Apache-2.0",
    ),
    "RfDetrForInstanceSegmentation": Family(
        "rf_detr", True, True, RfDetr, "Roboflow/rf-detr-seg-medium", "Apache-2.0"
    ),
    "MaskFormerForInstanceSegmentation": Family(
        "maskformer", False, True, Universal, "facebook/maskformer-swin-tiny-coco", "other"
    ),
    "OneFormerForUniversalSegmentation": Family(
        "oneformer", False, True, OneFormer, "shi-labs/oneformer_coco_swin_large", "MIT", load=load_oneformer
    ),
    "EomtForUniversalSegmentation": Family(
        "eomt", False, True, make_eomt, "tue-mps/coco_panoptic_eomt_large_640", "MIT"
    ),
    "EomtDinov3ForUniversalSegmentation": Family(
        "eomt_dinov3", False, True, make_eomt, "tue-mps/coco_panoptic_eomt_large_640_dinov3", "MIT and DINOv3"
    ),
    "Mask2FormerForUniversalSegmentation": Family(
        "mask2former", False, True, Universal, "facebook/mask2former-swin-tiny-coco-panoptic", "MIT"
    ),
    "Sam3Model": Family(
        "sam3", True, True, Concepts, "facebook/sam3", "SAM License", prompt="names", load=load_concepts
    ),
    "Sam3VideoModel": Family(
        "sam3_video", True, True, Concepts, "facebook/sam3", "SAM License", prompt="names", load=load_concepts
    ),
    "SamModel": Family(
        "sam", False, True, BoxPrompted, "facebook/sam-vit-base", "Apache-2.0", prompt="boxes"
    ),
    "SamHQModel": Family(
        "sam_hq", False, True, BoxPrompted, "syscv-community/sam-hq-vit-base", "", prompt="boxes"
    ),
    "Sam2Model": Family(
        "sam2", False, True, BoxPrompted, "facebook/sam2.1-hiera-tiny", "Apache-2.0", prompt="boxes"
    ),
    "Sam2VideoModel": Family(
        "sam2_video", False, True, BoxPrompted, "facebook/sam2.1-hiera-tiny", "Apache-2.0", prompt="boxes",
        load=load_from_video,
    ),
    "EdgeTamModel": Family(
        "edgetam", False, True, BoxPrompted, "yonigozlan/EdgeTAM-hf", "", prompt="boxes"
    ),
    "EdgeTamVideoModel": Family(
        "edgetam_video", False, True, BoxPrompted, "yonigozlan/EdgeTAM-hf", "", prompt="boxes",
        load=load_from_video,
    ),
    "fasterrcnn_resnet50_fpn": Family(
        "torchvision", True, False, TorchvisionDetector,
        "FasterRCNN_ResNet50_FPN_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "fasterrcnn_resnet50_fpn_v2": Family(
        "torchvision", True, False, TorchvisionDetector,
        "FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "fasterrcnn_mobilenet_v3_large_fpn": Family(
        "torchvision", True, False, TorchvisionDetector,
        "FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": Family(
        "torchvision", True, False, TorchvisionDetector,
        "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "maskrcnn_resnet50_fpn": Family(
        "torchvision", True, True, TorchvisionDetector,
        "MaskRCNN_ResNet50_FPN_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "maskrcnn_resnet50_fpn_v2": Family(
        "torchvision", True, True, TorchvisionDetector,
        "MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "retinanet_resnet50_fpn": Family(
        "torchvision", True, False, TorchvisionDetector,
        "RetinaNet_ResNet50_FPN_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "retinanet_resnet50_fpn_v2": Family(
        "torchvision", True, False, TorchvisionDetector,
        "RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "fcos_resnet50_fpn": Family(
        "torchvision", True, False, TorchvisionDetector,
        "FCOS_ResNet50_FPN_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "ssd300_vgg16": Family(
        "torchvision", True, False, TorchvisionDetector,
        "SSD300_VGG16_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "ssdlite320_mobilenet_v3_large": Family(
        "torchvision", True, False, TorchvisionDetector,
        "SSDLite320_MobileNet_V3_Large_Weights.COCO_V1", "", load=load_torchvision,
    ),
    "deeplabv3_resnet50": Family(
        "torchvision", False, True, TorchvisionSemantic,
        "DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1", "", load=load_torchvision,
    ),
    "deeplabv3_resnet101": Family(
        "torchvision", False, True, TorchvisionSemantic,
        "DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1", "", load=load_torchvision,
    ),
    "deeplabv3_mobilenet_v3_large": Family(
        "torchvision", False, True, TorchvisionSemantic,
        "DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1", "", load=load_torchvision,
    ),
    "fcn_resnet50": Family(
        "torchvision", False, True, TorchvisionSemantic,
        "FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1", "", load=load_torchvision,
    ),
    "fcn_resnet101": Family(
        "torchvision", False, True, TorchvisionSemantic,
        "FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1", "", load=load_torchvision,
    ),
    "lraspp_mobilenet_v3_large": Family(
        "torchvision", False, True, TorchvisionSemantic,
        "LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1", "", load=load_torchvision,
    ),
    "GroundingDinoForObjectDetection": Family(
        "grounding-dino", True, False, GroundingDino, "IDEA-Research/grounding-dino-tiny", "Apache-2.0",
        prompt="names", load=load_with_text,
    ),
    "MMGroundingDinoForObjectDetection": Family(
        "mm-grounding-dino", True, False, GroundingDino,
        "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det", "",
        prompt="names", load=load_with_text,
    ),
    "OmDetTurboForObjectDetection": Family(
        "omdet-turbo", True, False, OmDetTurbo, "omlab/omdet-turbo-swin-tiny-hf", "Apache-2.0",
        prompt="names", load=load_with_text,
    ),
    "OwlViTForObjectDetection": Family(
        "owlvit", True, False, Owl, "google/owlvit-base-patch32", "Apache-2.0",
        prompt="names", load=load_with_text,
    ),
    "Owlv2ForObjectDetection": Family(
        "owlv2", True, False, Owl, "google/owlv2-base-patch16-ensemble", "Apache-2.0",
        prompt="names", load=load_with_text,
    ),
    "SegformerForSemanticSegmentation": Family(
        "segformer", False, True, Semantic, "nvidia/segformer-b0-finetuned-ade-512-512", "other"
    ),
    "UperNetForSemanticSegmentation": Family(
        "upernet", False, True, Semantic, "openmmlab/upernet-convnext-tiny", "MIT"
    ),
    "DPTForSemanticSegmentation": Family("dpt", False, True, Semantic, "Intel/dpt-large-ade", "Apache-2.0"),
    "BeitForSemanticSegmentation": Family(
        "beit", False, True, Semantic, "microsoft/beit-base-finetuned-ade-640-640", "Apache-2.0"
    ),
    "Data2VecVisionForSemanticSegmentation": Family("data2vec-vision", False, True, Semantic, "", ""),
    "MobileNetV2ForSemanticSegmentation": Family(
        "mobilenet_v2", False, True, Semantic, "Matthijs/deeplabv3_mobilenet_v2_1.0_513", "other"
    ),
    "MobileViTForSemanticSegmentation": Family(
        "mobilevit", False, True, Semantic, "apple/deeplabv3-mobilevit-small", "Apple AMLR"
    ),
    "MobileViTV2ForSemanticSegmentation": Family(
        "mobilevitv2", False, True, Semantic, "apple/mobilevitv2-1.5-voc-deeplabv3", "other"
    ),
    "YoloDetectOnnx": Family(
        "yolo_onnx", True, False, YoloExport, "yolo26n.onnx", "AGPL-3.0", load=load_onnx, exported=True
    ),
    "YoloSegmentOnnx": Family(
        "yolo_onnx", True, True, YoloExport, "yolo26n-seg.onnx", "AGPL-3.0", load=load_onnx, exported=True
    ),
    "RfDetrDetectOnnx": Family(
        "rf_detr_onnx", True, False, RfDetrExport, "rfdetr-medium.onnx", "Apache-2.0",
        load=load_onnx, exported=True,
    ),
    "RfDetrSegmentOnnx": Family(
        "rf_detr_onnx", True, True, RfDetrExport, "rfdetr-seg-medium.onnx", "Apache-2.0",
        load=load_onnx, exported=True,
    ),
}  # fmt: skip
"""Every family, by architecture."""
