"""Tests of dbt that are queries, as `sql` checks of the asset that is computed last."""

from __future__ import annotations

import re
from typing import Any

from headrace_import.importers.dbt.check_kinds import NoCheck
from headrace_import.importers.dbt.context import Rendered
from headrace_import.importers.dbt.dialects import SELF_TABLE
from headrace_import.importers.dbt.models import command_path
from headrace_import.importers.dbt.nodes import Node
from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.project_files import SourceFile
from headrace_import.importers.dbt.templates import MissingNode, NotStatic
from headrace_import.importers.dbt.tests import (
    attach,
    clean_check,
    project_config,
    query_of,
    require_plain,
    set_severity,
)
from headrace_import.importers.imported import Verdict

_GENERIC = re.compile(r"\{%-?\s*(data_)?test\s")


class _ReadsWarehouse(NoCheck):
    """A test of a table that dbt computes, whose command runs it. `created` is its file."""

    def __init__(self, node: Node) -> None:
        super().__init__(f"it reads {node.name}, which dbt computes: its command is dbt build")
        self.created = command_path(node)


def read_singular_tests(outcome: Outcome) -> None:
    """Make `sql` checks of the tests that are queries, and an item of each."""
    for file in outcome.nodes.files.role("test-paths", "sql"):
        if not _GENERIC.search(file.text) and file.path.split("/")[1] != "fixtures":
            _read(outcome, file)


def _read(outcome: Outcome, file: SourceFile) -> None:
    uid = f"test.{outcome.nodes.files.name}.{file.stem}"
    verdict, line, created = Verdict.PERSON, 1, ""
    todo = "write it as a `sql` check of an asset"
    try:
        node, notes = _check(outcome, uid, file)
    except _ReadsWarehouse as error:
        verdict, why, todo, created = Verdict.COMMAND, str(error), "", error.created
    except NoCheck as error:
        why = str(error)
    except NotStatic as error:
        why, line = error.reason, error.line
    else:
        verdict, todo, created = Verdict.CARRIED, "", outcome.paths[node]
        target = outcome.nodes.by_id[node].target
        why = "; ".join([f"the `sql` check {clean_check(file.stem)} of {target}", *notes])
    files = (created,) if created else ()
    outcome.add(uid, file.path, line, verdict, why, todo=todo, created=files, original=file.text)


def _rendered(outcome: Outcome, uid: str, text: str, *, as_self: str = "") -> Rendered:
    """Return a test's query, by dbt where it must be. Raise NotStatic, NoCheck."""
    try:
        return outcome.renderer.render(text, as_self=as_self)
    except MissingNode:
        raise
    except NotStatic:
        if outcome.compiled is None:
            raise
        compiled = outcome.compiled.render(uid, outcome.nodes, outcome.dialect, as_self=as_self)
        if compiled.doubts:
            raise NoCheck(compiled.doubts[0]) from None
        compiled.rendered.config |= compiled.config
        return compiled.rendered


def _check(outcome: Outcome, uid: str, file: SourceFile) -> tuple[str, tuple[str, ...]]:
    """Add the check of a singular test, and return its node and notes. Raise NoCheck."""
    text, name = file.text, clean_check(file.stem)
    first = _rendered(outcome, uid, text)
    config = project_config(outcome, file.path, file.stem) | first.config
    require_plain(config)
    refs = list(first.refs)
    _leave_to_dbt(outcome, refs)
    for ref in refs:
        if ref not in outcome.tables:
            raise NoCheck(f"it reads {ref}, which isn't imported")
    node = _home(outcome, refs)
    if node is None:
        raise NoCheck("it reads no table, or tables that wait for each other")
    again = _rendered(outcome, uid, text, as_self=node)
    tables = again.refs | {node: SELF_TABLE}
    query, notes = query_of(outcome, again.text, tables)
    declaration: dict[str, Any] = {"sql": {"name": name, "query": query}}
    set_severity(declaration, config)
    attach(outcome, node, declaration, tuple(ref for ref in refs if ref != node))
    for used in first.macros:
        outcome.macros_used.setdefault(used, []).append(node)
    return node, notes


def _leave_to_dbt(outcome: Outcome, refs: list[str]) -> None:
    """Raise _ReadsWarehouse, NoCheck if a test reads a model that dbt computes."""
    commands = [ref for ref in refs if ref in outcome.commands]
    others = {ref: outcome.not_built_with(ref, refs) for ref in commands}
    for ref, other in others.items():
        if not other:
            raise _ReadsWarehouse(outcome.nodes.by_id[ref])
    if commands:
        name, other = outcome.nodes.by_id[commands[0]].name, others[commands[0]]
        raise NoCheck(
            f"it reads {name}, which dbt computes, and {other}, which dbt needn't compute"
        )


def _home(outcome: Outcome, refs: list[str]) -> str | None:
    """Return the node that a check of several nodes belongs to: the one computed last."""
    ranked = sorted(refs, key=lambda ref: (-len(outcome.ancestors(ref)), ref))
    for node in ranked:
        others = tuple(ref for ref in refs if ref != node)
        if outcome.can_check(node, others):
            return node
    return None
