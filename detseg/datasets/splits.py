"""Train, val and test by a stable hash of an image's group, so that no image ever changes its side.

An image's group is what its manifest says in a column (patient, camera, video), else its near duplicates,
else the image alone. Images of one group are always on one side. A group's place in [0, 1) is its hash; the
shares cut that line in their order, so the sides stay what they are when images come and go, as long as the
shares are the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from detseg.errors import ConfigError
from detseg.files import parse_json
from detseg.types import ImageId

LEARNED, CHOSEN_BY, JUDGED = "train", "val", "test"
"""The splits of a version: a training learns from the first, keeps what is best on the second, and never sees
the third, by which the model is judged later."""

USUAL_SHARES = f"{LEARNED}=0.8,{CHOSEN_BY}=0.1,{JUDGED}=0.1"

_SALT = "detseg split:"
_ROUNDING = 1e-9
_SIDE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class SplitRule:
    """``shares`` are names of sides with their shares, which sum to 1; none leaves images without a side.

    ``group`` names the manifest's column whose value keeps images together, ``column`` the one that says the
    side itself, which wins over the shares.
    """

    shares: tuple[tuple[str, float], ...] = ()
    group: str | None = None
    column: str | None = None

    def to_json(self) -> dict[str, object]:
        return {"shares": dict(self.shares), "group": self.group, "column": self.column}


def parse_shares(text: str) -> tuple[tuple[str, float], ...]:
    """Read ``train=0.8,val=0.1,test=0.1``. Raises ConfigError for anything else.

    >>> parse_shares("train=0.75, val=0.25")
    (('train', 0.75), ('val', 0.25))
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (piece.strip() for piece in part.partition("="))
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not _SIDE.fullmatch(name) or name in shares or not 0 <= value <= 1:
            raise ConfigError(
                f"--split {text!r}: expected names with shares, as {USUAL_SHARES}, not {part!r}"
            )
        shares[name] = value
    if abs(sum(shares.values()) - 1) > _ROUNDING:
        raise ConfigError(f"--split {text!r}: the shares sum to {sum(shares.values()):g}, not to 1")
    return tuple(shares.items())


def choose_split(rule: SplitRule, image: ImageId, metadata: str, *, alike: ImageId | None = None) -> str:
    """Return the side of an image; "" where the rule has no shares, and no column that names one.

    ``alike`` names the group of its near duplicates, if it has any.

    Raises ConfigError where the column's value is no name of a side, which becomes that of a folder.
    """
    known = read_metadata(metadata)
    if rule.column is not None and (side := known.get(rule.column)) not in (None, ""):
        if not _SIDE.fullmatch(str(side)):
            raise ConfigError(
                f"the column {rule.column!r} calls the side of {image} {str(side)[:60]!r}: expected letters, "
                "digits, dashes and underscores, 40 at most"
            )
        return str(side)
    if not rule.shares:
        return ""
    return split_of_group(rule.shares, group_of(rule, alike or image, known))


def group_of(rule: SplitRule, image: ImageId, metadata: Mapping[str, object]) -> str:
    """Return what images share that have to be on one side: the column's value, else the given image."""
    value = metadata.get(rule.group) if rule.group is not None else None
    return str(image) if value in (None, "") else f"{rule.group}={value}"


def split_of_group(shares: tuple[tuple[str, float], ...], group: str) -> str:
    """Return the side on which a group lies.

    >>> halves = (("train", 0.5), ("val", 0.5))
    >>> [split_of_group(halves, group) for group in ("a", "b", "c", "d")]
    ['val', 'train', 'train', 'val']
    """
    place = int.from_bytes(hashlib.sha256((_SALT + group).encode()).digest()[:8]) / 2**64
    end = 0.0
    for name, share in shares:
        end += share
        if place < end:
            return name
    return next((name for name, share in reversed(shares) if share > 0), "")


def group_duplicates(
    clusters: Iterable[Sequence[ImageId]], settled: Mapping[ImageId, ImageId]
) -> dict[ImageId, ImageId]:
    """Name the group of every image that has one: an image of it.

    ``settled`` are groups of before, the first ones first. They stay. Who joins a cluster is in the group of
    the one that was settled first; where no image was, the group is named after the first of them.

    >>> a, b, c, d = map(ImageId, "abcd")
    >>> group_duplicates([(a, b), (c, d)], {d: d})
    {'d': 'd', 'a': 'a', 'b': 'a', 'c': 'd'}
    """
    groups, rank = dict(settled), {image: n for n, image in enumerate(settled)}
    for cluster in clusters:
        first = min(cluster, key=lambda image: (rank.get(image, len(rank)), image))
        for image in cluster:
            groups.setdefault(image, settled.get(first, first))
    return groups


def split_order(split: str) -> tuple[int, str]:
    """The place of a split among others: as they are used, then by name.

    >>> sorted(["extra", "test", "train", "val"], key=split_order)
    ['train', 'val', 'test', 'extra']
    """
    usual = (LEARNED, CHOSEN_BY, JUDGED)
    return usual.index(split) if split in usual else len(usual), split


def share_deviations(
    shares: Mapping[str, float], by_split: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, float]]:
    """Return, for each key that is counted, how far its share of each side is from what was asked for.

    ``by_split`` has the counts of each key on each side.

    >>> share_deviations({"train": 0.5, "val": 0.5}, {"train": {"bolt": 3}, "val": {"bolt": 1}})
    {'bolt': {'train': 0.25, 'val': -0.25}}
    """
    keys = sorted({key for counts in by_split.values() for key in counts})
    counts = {key: {side: one.get(key, 0) for side, one in by_split.items()} for key in keys}
    return {
        key: {side: of_sides.get(side, 0) / sum(of_sides.values()) - share for side, share in shares.items()}
        for key, of_sides in counts.items()
    }


def read_metadata(metadata: str) -> Mapping[str, object]:
    """Return what a source says of an image, as an object; empty for nothing."""
    known: Mapping[str, object] = parse_json(metadata, "what the source says of an image") if metadata else {}
    return known
