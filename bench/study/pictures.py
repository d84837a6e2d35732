"""Pictures of a study: an image of each round as its model saw it, as a person left it, and its truth.

They show the images of the data, which are not ours to copy: they stay in the folder of the study.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.study.loop import Round, scenes_of
from bench.study.plans import Plan
from detseg.files import replacing
from detseg.formats.coco_files import read_coco_files
from detseg.images import decode_image
from detseg.report.pictures import PanelSize, Show, instances_panel, scale_to, side_by_side
from detseg.taxonomy import LabelClass, Taxonomy

_ROOM = PanelSize(width=520, height=520)


def draw_rounds(
    plan: Plan, rounds: Sequence[Round], folder: Path, *, images: Path, out: Path
) -> Iterator[Path]:
    """Draw the image of each round with help that has the most usual number of objects; yields the files.

    ``folder`` is that of the rounds. The last round's labels are nobody's: no model learns from them.
    """
    taxonomy = Taxonomy(tuple(LabelClass(name, "thing") for name in plan.classes))
    out.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(rounds[1:], 1):
        scenes = sorted(scenes_of(one, threshold=plan.threshold), key=lambda scene: len(scene.truth))
        scene = scenes[len(scenes) // 2]
        image = decode_image((images / scene.name).read_bytes(), scene.name)
        view = scale_to(image, _ROOM)
        layers = {f"the model of round {number}": scene.shown}
        file = folder / f"labels-{number}.json"
        if file.is_file():
            left = {label.name: label.instances for label in read_coco_files(file).images()}
            layers["left by a simulated person"] = left[scene.name]
        layers["truth"] = scene.truth
        show: Show = "masks" if any(region.mask is not None for region in scene.truth) else "boxes"
        panels = [
            instances_panel(view, regions, taxonomy, show=show, title=title, scores=False)
            for title, regions in layers.items()
        ]
        picture = out / f"{plan.name}-{number}.png"
        with replacing(picture, binary=True) as opened:
            side_by_side(image, *panels, title=f"{plan.name}, round {number}").save(opened, "PNG")
        yield picture
