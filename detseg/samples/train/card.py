"""The model card of a sample checkpoint: what it learned from, how long, and how good it is."""

from __future__ import annotations

from detseg.samples.checkpoints import Role
from detseg.samples.train.architectures import INPUTS, build_model
from detseg.training.card import figures_table
from detseg.training.plan import Best, Plan, Trained

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: {tag}
---

# {title}

Trained on made-up photographs of metal parts, for demonstrations and tests of detseg. In the scenes of
`detseg.samples.scenes` it finds {classes}.
It knows nothing else: don't expect it to find a part on a real photograph.

| | |
|---|---|
| architecture | {architecture}, {parameters:.2f} M parameters |
| input | {width}x{height} pixels, any picture is resized to it |
| begun with | {base} |
| data | scenes of the {scenes} at 640x480, mirrored and recoloured |
| images seen | {n_images} in batches of {batch_size} |
| time | {cpu_minutes:.0f} minutes of one core, without an accelerator |
| seed | {seed} |
| command | `{command}` |

## On held-out scenes

{n_held_out} scenes of 640x480, seeds {held_out_from} to {held_out_to}, none of which was seen in training.
Intervals are of 95 %, over scenes.

{figures}
"""


def sample_card(
    role: Role, plan: Plan, trained: Trained, *, best: Best, held_out: range, command: str
) -> str:
    """Write the card, in Markdown as the Hugging Face hub shows it."""
    detector = role == "detector"
    return _CARD.format(
        tag="object-detection" if detector else "image-segmentation",
        title=f"The sample {role}",
        classes=", ".join(cls.name for cls in plan.classes),
        architecture="RT-DETRv2" if detector else "Mask2Former",
        parameters=sum(one.numel() for one in build_model(role).parameters()) / 1e6,
        width=INPUTS[role].width,
        height=INPUTS[role].height,
        base=plan.base,
        scenes=plan.dataset_id,
        n_images=trained.best.step * plan.settings.batch_size,
        batch_size=plan.settings.batch_size,
        cpu_minutes=trained.cpu_seconds / 60,
        seed=plan.seed,
        command=command,
        n_held_out=len(held_out),
        held_out_from=held_out[0],
        held_out_to=held_out[-1],
        figures=figures_table(best),
    )
