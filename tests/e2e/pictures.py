"""The README's pictures, made anew:

    python -m tests.e2e.pictures docs/pictures

``task.png``, a pre-annotated task in Label Studio; ``predict.png``, what `detseg predict` writes for that
image. Servers are the tool's own and taken down. ``tests.report.pictures`` makes those of the report.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image

from detseg.config import load_settings
from detseg.errors import DetsegError
from detseg.images import read_image
from detseg.labelstudio.client import LabelStudioClient
from detseg.labelstudio.codec import encode_task, prediction_regions
from detseg.labelstudio.project import ensure_project
from detseg.labelstudio.server import EmbeddedLabelStudio
from detseg.pipeline.policies import shape_policy
from detseg.pipeline.predictors import load, predictor_settings
from detseg.report.pictures import prediction_picture
from detseg.samples.scenes import SAMPLE_CLASSES, generate_scene
from detseg.taxonomy import Taxonomy
from detseg.types import Size
from tests.e2e.page import labeling_page
from tests.labelstudio.scenes import serve

TAXONOMY = Taxonomy(SAMPLE_CLASSES)


def take_pictures_of_scene(folder: Path, state_dir: Path, *, seed: int) -> None:
    """One scene: what is predicted, and its task in the page at 1400x900."""
    path = state_dir / "images" / f"scene-{seed}.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(generate_scene(seed, Size(960, 720)).image).save(path)
    image = read_image(str(path))
    settings = load_settings(None, environ={})  # as everybody has them
    predictor, policy = load(predictor_settings(settings)), shape_policy(settings.labels)
    (instances,) = predictor.predict([image])
    sheet = prediction_picture(image, instances, TAXONOMY, subtitle=predictor.version)
    sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS).save(
        folder / "predict.png", optimize=True
    )
    regions = prediction_regions(image.ref.id, predictor.version, instances)
    connection = EmbeddedLabelStudio(state_dir).up()
    with LabelStudioClient(connection.url, connection.token) as client:
        project = ensure_project(client, "Parts on the belt", TAXONOMY, policy=policy)
        task = encode_task(
            image.ref,
            image.size,
            regions,
            version=predictor.version,
            taxonomy=TAXONOMY,
            image_url=serve(client, project, image.ref),
            policy=policy,
        ).task
        n_results = len(task["predictions"][0]["result"])
        (task_id,) = client.import_tasks(project, [task])
    with labeling_page(connection) as page:
        page.open_task(project, task_id, n_regions=n_results)
        page.picture(folder / "task.png")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=6, help="which scene")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        server = EmbeddedLabelStudio(Path(scratch))
        try:
            take_pictures_of_scene(arguments.folder, Path(scratch), seed=arguments.seed)
        except DetsegError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        finally:
            server.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
