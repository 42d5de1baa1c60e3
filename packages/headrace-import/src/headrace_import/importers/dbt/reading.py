"""Reading of a dbt project: the order in which its parts become parts of the new project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace_import.importers.dbt.checked_views import store_checked_views
from headrace_import.importers.dbt.compiled import CompiledProject
from headrace_import.importers.dbt.context import Renderer
from headrace_import.importers.dbt.models import (
    asset_path,
    finish_models,
    read_models,
    write_models,
)
from headrace_import.importers.dbt.nodes import Node, Nodes, project_variables, read_nodes
from headrace_import.importers.dbt.others import read_exposures, read_macros, read_rest
from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.overrides import Dispatch, use_dispatched_tests
from headrace_import.importers.dbt.owners import Owners
from headrace_import.importers.dbt.project_files import read_files
from headrace_import.importers.dbt.selectors import read_selectors
from headrace_import.importers.dbt.settings import read_profile, settings_text
from headrace_import.importers.dbt.singular_tests import read_singular_tests
from headrace_import.importers.dbt.snapshots import (
    check_inputs,
    read_snapshots,
    snapshot_path,
    write_snapshots,
)
from headrace_import.importers.dbt.sources import (
    name_seeded_sources,
    read_sources,
    seeds_of_sources,
    source_path,
    write_sources,
)
from headrace_import.importers.dbt.templates import is_template
from headrace_import.importers.dbt.tests import read_generic_tests
from headrace_import.importers.dbt.unit_tests import read_unit_tests
from headrace_import.importers.imported import ImportedProject, Refusal

IGNORED = ".headrace/\n"


def read_project(
    root: Path,
    *,
    dialect: str = "",
    refused: Sequence[Refusal] = (),
    compiled: CompiledProject | None = None,
) -> ImportedProject:
    """Return what becomes of the dbt project in `root`. Nothing of it is run.

    `compiled` is what dbt compiled of it: it is used where the templates can't be read statically.
    `dialect` is that of its SQL, as sqlglot names it; by default that of its profile. `refused` are
    errors that `validate` reported for the files of an earlier pass: those models are left to dbt.
    """
    files = read_files(root)
    profile_dialect, secrets = read_profile(files)
    dialect = dialect or profile_dialect
    nodes = read_nodes(files)
    if compiled is not None:
        _settle_enabled(nodes, compiled)
    seeded = seeds_of_sources(nodes)
    name_seeded_sources(nodes, seeded)
    use_dispatched_tests(nodes.macros, Dispatch(nodes.macros, files.name, files.settings, dialect))
    renderer = Renderer(nodes, dialect, project_variables(files))
    outcome = Outcome(nodes, renderer, dialect, Owners(nodes), compiled)
    outcome.secrets.found += secrets
    for path, text in files.texts():
        outcome.secrets.scan(path, text)
    outcome.refuse(refused)
    read_sources(outcome, seeded)
    snapshots = read_snapshots(outcome)
    models = read_models(outcome)
    write_models(outcome, models)
    outcome.tables |= snapshots.keys()
    check_inputs(outcome, snapshots)
    outcome.paths = {uid: _path(node) for uid, node in nodes.by_id.items()}
    read_generic_tests(outcome)
    read_singular_tests(outcome)
    store_checked_views(outcome)
    write_sources(outcome, seeded)
    finish_models(outcome, models)
    write_snapshots(outcome, snapshots)
    read_unit_tests(outcome)
    read_exposures(outcome)
    read_macros(outcome)
    read_rest(outcome)
    selectors = read_selectors(outcome)
    outcome.files["owners.yaml"] = outcome.owners.text()
    outcome.files["headrace.toml"] = settings_text(
        files, selectors, commands=bool(outcome.commands)
    )
    outcome.files[".gitignore"] = IGNORED
    outcome.remove_secrets()
    return ImportedProject(
        tool="dbt",
        items=(*outcome.items.values(), *files.unreadable),
        dependencies=tuple(dict.fromkeys(outcome.dependencies)),
        suggestions=tuple(outcome.suggestions),
        secrets=tuple(outcome.secrets.found),
        files=dict(sorted(outcome.files.items())),
        read_files=tuple(sorted(set(files.read))),
    )


def _settle_enabled(nodes: Nodes, compiled: CompiledProject) -> None:
    """Set whether dbt runs the nodes of which only dbt knows that."""
    for node in nodes.by_id.values():
        enabled = compiled.is_enabled(node.uid)
        if enabled is not None and is_template(str(node.config.get("enabled"))):
            node.config["enabled"] = enabled


def _path(node: Node) -> str:
    """Return the file that has a node's checks."""
    if node.kind in ("source", "seed"):
        return source_path(node)
    return snapshot_path(node) if node.kind == "snapshot" else asset_path(node)
