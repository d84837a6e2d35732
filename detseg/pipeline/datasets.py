"""Labels out of a project: versions that never change, and where a label in them is from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from detseg.catalog.region_json import encode_regions
from detseg.datasets.duplicates import Duplicates
from detseg.datasets.filters import Filter, parse_filter
from detseg.datasets.sample import Sample, decode_sample, image_bytes, image_of
from detseg.datasets.splits import SplitRule, choose_split, group_duplicates
from detseg.datasets.store import DatasetStore, is_worth_sharing
from detseg.datasets.version import Addition, IndexRow, Recipe, Version
from detseg.errors import DatasetError
from detseg.labelstudio.label_config import config_to_taxonomy
from detseg.paging import pages
from detseg.pipeline.failpoints import failpoint
from detseg.pipeline.labels import (
    Absence,
    Label,
    LabelRules,
    Reviewed,
    awaits_split,
    label_rules,
    read_reviewed,
)
from detseg.pipeline.near_duplicates import near_duplicates
from detseg.pipeline.workspace import known_project, opened_catalog
from detseg.plurals import format_count

if TYPE_CHECKING:
    from detseg.catalog import Catalog, Project
    from detseg.config import Settings
    from detseg.taxonomy import Change
    from detseg.types import ImageId

_SHORTEST_ID = 6
_SCHEMA = 2
"""Part of what rows are made from: with another number, no row of an older version is taken over."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The choice of what goes into a version. ``where`` as in ``datasets.filters``, ``split`` as in
    ``datasets.splits``. ``gold`` and ``disputed`` as in ``LabelRules``; ``simulated``: also the labels of the
    demo's reviewer, which are no people's. ``leaks``: also where near duplicates are on two sides."""

    where: str = ""
    split: SplitRule = field(default_factory=SplitRule)
    gold: bool = False
    disputed: bool = False
    simulated: bool = False
    leaks: bool = False


def create_version(settings: Settings, name: str, wish: Wish) -> Version:
    """Make a dataset version of the labels that the catalog holds now.

    What is as it was in the newest version is taken from there. Raises DatasetError for a name that is taken,
    a project that has no label, and simulated labels or leaks that were not wished.
    """
    wanted = parse_filter(wish.where)
    store = DatasetStore(settings.datasets_location)
    store.check_name(name)
    with opened_catalog(settings) as catalog:
        project = known_project(catalog, settings.queue.project)
        rules = replace(label_rules(settings.queue), gold=wish.gold, disputed=wish.disputed)
        taxonomy = settings.declared_taxonomy or config_to_taxonomy(project.label_config)
        recipe = Recipe(
            project=project.title,
            classes=taxonomy.classes,
            rules=asdict(rules) | {"simulated": wish.simulated},
            where=wish.where.strip(),
            split=wish.split.to_json(),
            changes=settings.changes,
        )
        parent = next(reversed(store.versions()), None)
        known = store.index(parent) if parent is not None and is_worth_sharing(parent) else ()
        rows_of = {row.image: row for row in known}
        alike = near_duplicates(settings.state_path, catalog.features.read_all(), keep=True)
        settled = catalog.features.split_groups()
        groups = group_duplicates(alike.clusters, settled)
        classes, made_under = frozenset(taxonomy.names), repr((_SCHEMA, rules, wish.simulated))
        source = _Source(catalog, project, rules, wish, classes, rows_of, groups, made_under)
        left_out: Counter[str] = Counter()
        sides: dict[ImageId, str] = {}
        duplicates: Counter[str] = Counter()
        version = store.write(
            name,
            recipe,
            _checked(source.rows(wanted, left_out), alike, wish, sides=sides, counts=duplicates),
            parent=parent if known else None,
            left_out=left_out,
            duplicates=duplicates,
            before_name=lambda: _settle_sides(
                catalog, wish, {i: groups.get(i, i) for i in sides.keys() - settled.keys()}
            ),
        )
        failpoint("dataset.named")
    return version


def _settle_sides(catalog: Catalog, wish: Wish, groups: Mapping[ImageId, ImageId]) -> None:
    """Record what keeps images on their sides, before anybody sees them there: the version of a run that is
    killed after that is not made again."""
    if wish.split.shares:
        catalog.features.settle_split_groups(dict(sorted(groups.items())))
    failpoint("dataset.before_name")


def _checked(
    rows: Iterable[IndexRow | Addition],
    alike: Duplicates,
    wish: Wish,
    *,
    sides: dict[ImageId, str],
    counts: Counter[str],
) -> Iterator[IndexRow | Addition]:
    """The rows; notes the side of each, counts its near duplicates, and raises DatasetError for leaks."""
    for row in rows:
        sides[image_of(row.row.image if isinstance(row, Addition) else row.image)] = row.split
        yield row
    inside = [sum(image in sides for image in cluster) for cluster in alike.clusters]
    leaks = [(a, b) for a, b in alike.pairs if a in sides and b in sides and sides[a] != sides[b]]
    counts.update(
        clusters=sum(n > 1 for n in inside), images=sum(n for n in inside if n > 1), leaks=len(leaks)
    )
    if leaks and not wish.leaks:
        one, other = leaks[0]
        raise DatasetError(
            f"{format_count(len(leaks), 'pair')} of near duplicates would be on two sides, the first "
            f"{one[:19]} ({sides[one]}) and {other[:19]} ({sides[other]}): keep them together with a column "
            "that --group names, leave one out with --where, or give --allow-leaks"
        )


@dataclass(frozen=True, slots=True)
class _Source:
    """The catalog's side of a version that is being made. ``known`` are the parent's rows, ``groups``
    those of near duplicates."""

    catalog: Catalog
    project: Project
    rules: LabelRules
    wish: Wish
    classes: frozenset[str]
    known: Mapping[bytes, IndexRow]
    groups: Mapping[ImageId, ImageId]
    made_under: str
    """The part of what rows are made from that all images share"""

    def rows(self, wanted: Filter, left_out: Counter[str]) -> Iterator[IndexRow | Addition]:
        """The images that have a label and are wanted, in ascending order; counts the others by reason."""
        n_rows = 0
        for page in pages(read_reviewed(self.catalog, self.project)):
            ids = [reviewed.image for reviewed in page]
            places = self.catalog.images.first_places(ids)
            versions = self.catalog.tasks.model_versions(self.project.key, ids)
            for reviewed in page:
                image = reviewed.image
                row = self._row(reviewed, *places.get(image, ("", "")), version=versions.get(image, ""))
                if isinstance(row, str):
                    left_out[row] += 1
                    continue
                described = row.row if isinstance(row, Addition) else row
                labels = frozenset(described.labels)
                if awaits_split(self.catalog, labels):
                    left_out["split"] += 1
                elif not wanted(described):
                    left_out["filter"] += 1
                elif unknown := sorted(labels - self.classes):
                    raise DatasetError(
                        f"{image} has a region of {unknown[0]!r}, which is no class of the "
                        "project: add it to [[classes]], or change it in Label Studio"
                    )
                else:
                    n_rows += 1
                    yield row
        if unlabeled := self.catalog.reviews.states(self.project.key)["unlabeled"]:
            left_out["unlabeled"] = unlabeled
        if not n_rows:
            reasons = ", ".join(f"{reason} {n}" for reason, n in left_out.items())
            raise DatasetError(
                f"project {self.project.title!r} has no label to put into a version"
                + (
                    f" (left out: {reasons})"
                    if reasons
                    else ": run `detseg collect` when people have labeled"
                )
            )

    def _row(
        self, reviewed: Reviewed, uri: str, metadata: str, *, version: str
    ) -> IndexRow | Addition | Absence | Literal["simulated"]:
        """The row of an image in the new version, or why it has none."""
        source = self._hash(reviewed, uri, metadata, version)
        alike = self.groups.get(reviewed.image)
        split = choose_split(self.wish.split, reviewed.image, metadata, alike=alike)
        known = self.known.get(image_bytes(reviewed.image))
        if known is not None and known.source == source:
            return known if known.split == split else replace(known, split=split)
        label = _sample(reviewed, self.rules)
        if isinstance(label, str):
            return label
        if label.simulated and not self.wish.simulated:
            return "simulated"
        versions = (version,) if version else ()
        return Addition(replace(label, uri=uri, metadata=metadata, model_versions=versions), source, split)

    def _hash(self, reviewed: Reviewed, uri: str, metadata: str, version: str) -> bytes:
        """The SHA-256 of all that an image's row is made from."""
        said = [
            (one.annotation_id, one.author, one.state, one.updated_at, one.simulated, one.unread)
            for one in reviewed.stored
        ]
        regions = [one.regions for one in reviewed.stored]
        size = reviewed.stored[0].size
        facts = (uri, metadata, version, str(size), reviewed.assignment, said, list(map(len, regions)))
        return hashlib.sha256("".join((self.made_under, repr(facts), *regions)).encode()).digest()


def _sample(reviewed: Reviewed, rules: LabelRules) -> Sample | Absence:
    """The label of an image without where it is from, or why there is none."""
    if (stored := reviewed.verbatim(rules)) is not None:
        return Sample(
            image=stored.image,
            size=stored.size,
            state=stored.state,
            regions=stored.regions,
            author=stored.author,
            updated_at=stored.updated_at,
            authors=(stored.author,),
            reviews=(stored.annotation_id,),
            simulated=stored.simulated,
        )
    label = reviewed.label(rules)
    if not isinstance(label, Label):
        return label
    said = label.annotation
    return Sample(
        image=said.image,
        size=said.size,
        state=said.state,
        regions=encode_regions(said.regions),
        author=said.author,
        updated_at=said.updated_at,
        authors=label.authors,
        reviews=label.reviews,
        n_disputed=label.n_disputed,
        simulated=label.simulated,
    )


@dataclass(frozen=True, slots=True)
class Trace:
    """The origin of an image's label in a version."""

    version: Version
    sample: Sample
    split: str


def trace_image(store: DatasetStore, image: str) -> tuple[Trace, ...]:
    """Find an image in all versions, the oldest first.

    It is named by its id, the beginning of that (6 digits or more), its address, or its file name. Raises
    DatasetError where no version has it.
    """
    found = []
    for version in store.versions():
        splits = store.splits(version)
        digits = image.removeprefix("sha256:")
        by_id = {one for one in splits if len(digits) >= _SHORTEST_ID and one.hex().startswith(digits)}
        for row in store.rows(version, by_id or None):
            if by_id or row["uri"] == image or row["uri"].endswith("/" + image):
                found.append(Trace(version, decode_sample(row), splits[row["image"]]))
    if not found:
        raise DatasetError(f"no dataset version in {store.location} has an image {image!r}")
    return tuple(found)


def describe_taxonomy(version: Version, now: Sequence[Change]) -> str:
    """Say in a line which changes of the classes a version lacks, and which only it has; empty for none."""
    own = version.recipe.changes
    lacks = [change.id for change in now if change not in own]
    unknown = [change.id for change in own if change not in now]
    parts = [f"before the classes changed ({', '.join(lacks)}), and holds them as they were"] if lacks else []
    parts += [f"under changes that these settings lack ({', '.join(unknown)})"] if unknown else []
    return f"{version.name} was made {', and '.join(parts)}" if parts else ""
