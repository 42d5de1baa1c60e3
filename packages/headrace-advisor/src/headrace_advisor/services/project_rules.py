"""Advice of `optimize` that needs the whole project: columns, joins and assets that can go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from headrace.compiler.lineage import compile_lineage
from headrace.extension import ProjectSession
from headrace.model import SqlBody
from headrace.plan.compiled import Compiled
from headrace_advisor.analysis.advice import Verdict
from headrace_advisor.analysis.checking import Advice
from headrace_advisor.analysis.complexity import SEEN_DAYS, ProjectShape
from headrace_advisor.analysis.project_advice import Equality, ProjectFinding, ProjectView
from headrace_advisor.analysis.project_rules import project_findings
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.analysis.same_content import same_rows
from headrace_advisor.queries import complexity as stored
from headrace_advisor.queries.costs import StoredPartitions, stored_partitions
from headrace_advisor.services.costs import figuring_of

PARTITIONS_MAX = 20
"""A response lists at most this many of the equal partitions."""


class _History(NamedTuple):
    """What is stored: observed reads, sizes, and nodes with equal rows. Empty without a store."""

    seen: frozenset[str] = frozenset()
    sizes: Mapping[str, StoredPartitions] = {}
    same_rows: Mapping[tuple[str, str], Equality] = {}


def advice_of_project(
    session: ProjectSession,
    compiled: Compiled,
    tables: ProjectTables,
    file_text: Callable[[str], str | None],
    names: Collection[str],
) -> list[tuple[ProjectFinding, Advice]]:
    """Return the findings about the named assets, each also as advice on its file."""
    history = _history(session)
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    shape = ProjectShape(compiled, lineage, history.seen & compiled.nodes.keys())
    view = ProjectView(compiled, tables, shape, file_text, history.sizes, history.same_rows)
    return [
        (finding, Advice(finding.id, _line(compiled, finding.asset), finding.finding, finding.diff))
        for finding in project_findings(view)
        if finding.asset in names
    ]


def _line(compiled: Compiled, asset: str) -> int:
    declared = compiled.project.assets[asset]
    return declared.body.line if isinstance(declared.body, SqlBody) else declared.place.line


def verdict(finding: ProjectFinding) -> Verdict:
    """Return the verdict: rows that were published and compared are measured equal."""
    return Verdict.MEASURED_EQUAL if finding.equality is not None else finding.finding.verdict


def _history(session: ProjectSession) -> _History:
    if session.store is None or session.compiled is None:
        return _History()
    with figuring_of(session, f"{SEEN_DAYS}d") as figuring:
        contents = stored.contents(figuring.tx)
        sizes = stored_partitions(figuring.tx)
        seen = frozenset(usage.node for usage in figuring.reads)
    return _History(seen, sizes, _equal_nodes(contents))


def _equal_nodes(contents: list[stored.Content]) -> dict[tuple[str, str], Equality]:
    """Return pairs of nodes with equal rows in each common partition."""
    rows: dict[str, dict[str, int]] = {}
    for item in contents:
        rows.setdefault(item.node, {})[item.partition] = item.rows
    equal = {}
    for pair in same_rows(item[:3] for item in contents):
        keys = sorted(rows[pair.node].keys() & rows[pair.other].keys())
        number = sum(rows[pair.node][key] for key in keys)
        equal[pair.node, pair.other] = Equality(tuple(keys), number)
    return equal
