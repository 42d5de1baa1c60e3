"""`read` of a view: its statement over what is published of what it reads, in one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from headrace.lake.sqltext import quote
from headrace.observe.declared_promises import DeclaredPromises, declared_promises
from headrace.observe.freshness import freshnesses
from headrace.observe.obligations import EvaluationContext
from headrace.observe.state_facts import StateFacts
from headrace.operations import sql, targets
from headrace.operations.read import ReadQuery
from headrace.operations.responses import ReadResponse
from headrace.operations.session import ProjectSession


def read(session: ProjectSession, query: ReadQuery, columns: Sequence[str] | None = None) -> ReadResponse:
    """The rows as values that JSON holds, at most `limit`; it stands as the worst of what it reads. UsageError and LakeError as
    `read`."""
    name = targets.target(query.asset, session.project()).node
    state, through = _standing(session, name)
    question = _question(name, query, columns)
    total = sql.query(session, sql.SqlQuery(f"select count(*) as n from {quote(name)}", at=query.at, noted=False)).rows[0]["n"]
    response = sql.query(session, question)
    return ReadResponse(
        asset=name,
        snapshot=response.snapshot,
        columns=response.columns,
        rows=response.rows,
        data_through=through,
        published_at=response.at,
        state=state,
        rows_total=int(total),
    )


def write(session: ProjectSession, query: ReadQuery, out: BinaryIO, data_format: str, columns: Sequence[str] | None = None) -> None:
    """The rows as `csv`, `parquet` or `arrow` into a stream."""
    name = targets.target(query.asset, session.project()).node
    sql.write(session, _question(name, query, columns), out, data_format)


def _question(name: str, query: ReadQuery, columns: Sequence[str] | None) -> sql.SqlQuery:
    selected = "*" if columns is None else ", ".join(map(quote, columns))
    return sql.SqlQuery(f"select {selected} from {quote(name)}", at=query.at, limit=query.limit)


def _standing(session: ProjectSession, name: str) -> tuple[str, str | None]:
    """The view's state, and the least of the intervals that what it reads has come to."""
    if session.store is None or session.compiled is None:
        return "never", None
    declared, now_us = declared_promises(session.compiled), session.clock.now_us()
    with session.facts() as (_, facts):
        state = freshnesses(EvaluationContext(declared, facts), now_us)[name]
        return state.value, _through(declared, facts, name)


def _through(declared: DeclaredPromises, facts: StateFacts, name: str) -> str | None:
    paced = [declared.nodes[item] for item in declared.views[name] if declared.nodes[item].partition.grain is not None]
    newest = [results.partition for node in paced if (results := facts.newest(node.name)) is not None]
    return min(newest, default=None)
