"""The tab on how the figures are computed, for whoever wants to check them."""

from __future__ import annotations

from detseg.report.tabs.edits import edit_keys
from detseg.report.views import Block, Key, Section, Tab

_TERMS = {
    "95 % interval": (
        "of intervals made like this, 19 in 20 hold what would be found on all images of this kind. "
        "Shares: Wilson’s interval, wider where regions of one image resemble each other, and by what "
        "images of a kind that none of these shows would change. Means over classes: as far as they change "
        "when an image is left out (AP: half of the images). Mean seconds: 1,000 seeded draws of the images "
        "with replacement"
    ),
    "n/a": (
        "not defined, or nothing to compute it from, such as one image alone: it does not tell how images "
        "differ. It is never counted as 0"
    ),
    "Too few to act on": (
        "a grey figure rests on fewer than 10 images, or is a mean over classes of which one is on fewer "
        "than 3. It is shown with its interval, however wide, and with "
        "how many more images it takes; whether it is grey depends on how much was seen, never on what came "
        "out"
    ),
    "user-3": (
        "the person who has that number in Label Studio, and who said last what a review says; addresses are "
        "kept nowhere, detseg status --people asks for them"
    ),
    "Accepted": "regions left as the model drew them / all regions that it drew",
    "IoU": "shared area / joint area of two regions, in [0, 1]",
    "Control image": (
        "an image that was shown without the model’s regions (experiments.control_share): what people draw "
        "there owes nothing to the model, so its quality is measured against it"
    ),
    "Agreement with reviewers who saw the model": (
        "the same figure against reviews of images that were shown with its regions. It is no measure of "
        "quality: people leave what is nearly right"
    ),
    "Anchoring": (
        "that agreement minus the quality on control images, or, on gold images, minus the quality against "
        "the known truth of the same images; its interval is put together from those of both (MOVER, Zou and "
        "Donner 2008)"
    ),
    "AP": (
        "area under the precision-recall curve (101 points), mean over IoU 0.50 to 0.95 in steps of "
        "0.05 and over classes (COCO)"
    ),
    "AR": "recall with so many detections per image, mean over the same IoU and classes (COCO)",
    "Precision": "right detections / all detections",
    "Recall": "objects that were found / all objects",
    "F1": "2 × right / (detections + objects)",
    "mIoU": "mean over the classes of the pixels that both sides give a class / those that either does",
    "Dice": "2 × shared pixels / (pixels of one side + pixels of the other), mean over the classes",
    "Boundary IoU": "IoU of the pixels within 2 % of the diagonal of the contours (Cheng et al. 2021)",
    "PQ": (
        "sum of IoU over matched segments / (matched + half of the false + half of the missed ones) ="
        " SQ × RQ, mean over classes (Kirillov et al. 2019)"
    ),
    "ECE": "sum over ten score bins of the bin’s share × |precision − mean score|",
    "Krippendorff’s alpha": "1 − observed / expected disagreement; 1 all say the same, 0 as by chance",
    "Saved": "1 − seconds with the model’s regions / seconds by hand for the same images",
    "Change of a week": (
        "its acceptance (or F1, or share of suspect labels), with the weeks after it or without, minus "
        "that of the weeks before, each person compared with themselves; called a change only if it is "
        "larger than the largest would be if each person’s images were dealt out to the weeks anew"
    ),
    "Suspect labels of a week": (
        "regions that a rule names / regions of the reviews and those that they lack; findings about an "
        "image as a whole do not count"
    ),
    "Expected seconds": (
        "over an image’s regions, the shares of moved, reshaped, relabeled and deleted among reviewed "
        "regions of that class and score × seconds of the cost model, plus those of objects that people add; "
        "shares among few regions are drawn to those of their class (Bühlmann and Straub 1970)"
    ),
}


def terms_tab() -> Tab:
    """Every figure on the page with its formula, and every kind of edit."""
    keys = tuple(Key(name, meaning) for name, meaning in _TERMS.items())
    section = Section("terms-list", "How the figures are computed", (Block(keys=(*keys, *edit_keys())),))
    return Tab("terms", "Terms", (section,))
