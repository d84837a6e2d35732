"""A project made ready for tasks: itself and its labeling interface."""

from __future__ import annotations

from collections.abc import Sequence

from detseg.errors import ConfigError, LabelStudioError
from detseg.labelstudio.class_changes import find_in_use, follow_changes
from detseg.labelstudio.client import LabelStudioClient, Project
from detseg.labelstudio.instruction import project_instruction
from detseg.labelstudio.interface import read_interface
from detseg.labelstudio.label_config import check_config, fit_policy, missing_labels, taxonomy_to_config
from detseg.labelstudio.shapes import DEFAULT_POLICY, ShapePolicy
from detseg.labelstudio.tabs import show_table
from detseg.taxonomy import NO_CHANGES, Relabeling, Taxonomy

_TITLE_LENGTHS = range(3, 51)


def ensure_project(
    client: LabelStudioClient, title: str, taxonomy: Taxonomy, *, policy: ShapePolicy = DEFAULT_POLICY
) -> int:
    """The id of the project with that title, made if there is none; see ``fit_project``.

    Raises FormatError if a project with tasks lacks classes.
    """
    project = fit_project(client, title, taxonomy, client.find_projects(title), policy=policy)
    check_config(project.label_config, taxonomy, policy, where=f"project {title!r} on {client.url}")
    return project.id


def fit_project(
    client: LabelStudioClient,
    title: str,
    taxonomy: Taxonomy,
    found: Sequence[Project],
    *,
    policy: ShapePolicy = DEFAULT_POLICY,
    overlap: int = 1,
    relabeling: Relabeling = NO_CHANGES,
) -> Project:
    """The project among those that were found under that title, or a new one.

    An existing interface is left as it is, and replaced where it lacks classes while nobody has any task in
    it. One of ours follows the changes of the classes, see ``follow_changes``. At least ``overlap`` people
    are asked about each task; where the project asks more, it does so still.
    Raises LabelStudioError if two projects have the title, ConfigError for a title that none can have.
    """
    if len(title) not in _TITLE_LENGTHS:
        raise ConfigError(
            f"the project's title {title!r} has {len(title)} characters, Label Studio takes "
            f"{_TITLE_LENGTHS.start} to {_TITLE_LENGTHS.stop - 1}: choose another for `project`"
        )
    config = taxonomy_to_config(taxonomy, policy)
    if not found:
        made = client.create_project(
            title,
            config,
            expert_instruction=project_instruction(policy.annotate),
            show_instruction=True,
            show_skip_button=True,
            enable_empty_annotation=True,
            maximum_annotations=overlap,
        )
        show_table(client, made.id)
        return made
    if len(found) > 1:
        raise LabelStudioError(
            f"{len(found)} projects on {client.url} are called {title!r} (ids "
            f"{', '.join(str(project.id) for project in found)}): rename all but one of them"
        )
    (project,) = found
    if project.overlap < overlap:
        project = client.update_project(project.id, maximum_annotations=overlap)
    is_own = read_interface(project.label_config).is_own
    if is_own and project.n_tasks == 0:  # whoever made it may have been killed
        show_table(client, project.id)
    wanted = policy if is_own else fit_policy(policy, project.label_config, taxonomy)
    if project.n_tasks == 0 and missing_labels(project.label_config, taxonomy, wanted):
        return client.update_project(project.id, label_config=config)
    if not relabeling.ended:
        return project
    in_use = find_in_use(client, project.id, relabeling.ended)
    now = follow_changes(project.label_config, taxonomy, relabeling, in_use=in_use, policy=wanted)
    return project if now == project.label_config else client.update_project(project.id, label_config=now)
