"""`checks challenge` and `checks suggest`: mutate published rows and see which checks notice.

Nothing is written except suggested checks, and those only on request. Rows are read and mutated in
a DuckDB session like a worker's, which has access to the lake only.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from headrace.compiler.lineage import compile_lineage
from headrace.extension import (
    OPERATE,
    Excluded,
    Option,
    Progress,
    ProjectSession,
    Selected,
    command,
    first_line,
    marked,
    of_error,
)
from headrace.lake import PARTITION_COLUMN
from headrace.model import Asset, LakeError, Project, Source
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.plan.impact import ALL_COLUMNS, Lineage
from headrace.project.selection import selected
from headrace.project.session import usable
from headrace_advisor.challenge.trials import CheckHistory, verdict_on
from headrace_advisor.queries import check_outcomes
from headrace_advisor.responses.challenges import (
    ChallengedCheckRow,
    ChallengeResponse,
    SuggestedCheckRow,
    UnnoticedRow,
)
from headrace_advisor.services.challenge_data import Downstream, NodeData, own_columns, subjects
from headrace_advisor.services.check_insertion import as_mapping, as_yaml

if TYPE_CHECKING:
    from headrace.engine import InputData
    from headrace.lake.session import DuckDBSession as DuckDB
    from headrace_advisor.challenge.suggestions import Suggested
    from headrace_advisor.challenge.trials import Challenged, ChallengeSubject, MutationTrial


SECONDS = 60
"""Default maximum duration of a challenge, in seconds."""
TRIED_SHARE = 0.7
"""Share of a node's time that goes into mutations; the rest goes into suggestions."""
SHARES = 3
LEAST_S = 0.1
"""Minimum time per node in seconds, however many nodes there are."""
MEMORY_BYTES = 2**30
"""Memory limit of DuckDB in bytes; it spills to disk beyond."""


class _Plan:
    """The project, and the assets and consumers that a fault in a node's columns would reach."""

    def __init__(self, compiled: Compiled, lineage: Lineage, *, suggest: bool) -> None:
        self._compiled, self._lineage, self.suggest = compiled, lineage, suggest
        self.macros = compiled.project.macros
        self.downstream = Downstream(lineage)
        self._reached: dict[tuple[str, tuple[str, ...]], tuple[list[str], list[str]]] = {}

    @property
    def project(self) -> Project:
        return self._compiled.project

    def node(self, name: str) -> Source | Asset:
        """Return a source or an asset by name."""
        return self.project.sources.get(name) or self.project.assets[name]

    def reach(self, name: str, columns: tuple[str, ...]) -> tuple[list[str], list[str]]:
        """Return the assets and the consumers that a fault in these columns reaches.

        No columns stand for a fault in the rows as a whole.
        """
        results = self._reached.get((name, columns))
        if results is None:
            changed_columns = columns or self._compiled.nodes[name].column_names or (ALL_COLUMNS,)
            results = self._reached[name, columns] = self._lineage.users(name, changed_columns)
        return results

    def rank(self, name: str, columns: tuple[str, ...]) -> tuple[int, int]:
        """Return a sort key: faults that reach more consumers, then more assets, come first."""
        assets, consumers = self.reach(name, columns)
        return -len(consumers), -len(assets)


class _Done(NamedTuple):
    """One node with its results; `unnoticed` is sorted by the consumers and assets reached."""

    node_data: NodeData
    challenged: Challenged
    unnoticed: tuple[MutationTrial, ...]
    suggested: tuple[Suggested, ...]


@command("checks challenge", OPERATE)
def challenge(
    session: ProjectSession,
    select: Selected = (),
    exclude: Excluded = (),
    seconds: Annotated[
        int, Option("--seconds", metavar="N", least=1, help="how long all of it may take")
    ] = SECONDS,
    *,
    suggest: bool = True,
    progress: Progress,
) -> ChallengeResponse:
    """Challenge the declared checks with mutations of published rows.

    With `suggest`, a part of the time goes into checks to add. Raise InvalidProject if the files
    have errors, UsageError for a selection that matches nothing, LakeError for unreadable rows or
    if memory runs out.
    """
    started = time.monotonic()
    compiled = usable(session.declared(progress))
    names = selected(session, select, exclude, compiled=compiled)
    names = [name for name in names if name not in compiled.project.consumers]
    datas = subjects(session, compiled, names) if session.store is not None else []
    past = _past(session)
    # DuckDB computes from here on: a process never has both DuckDB and the state open
    session.close()
    plan = _Plan(
        compiled, compile_lineage(compiled, session.data_folder / "cache"), suggest=suggest
    )
    datas.sort(
        key=lambda item: (
            compiled.order.index(item.node.name) if item.node.name in compiled.order else -1
        ),
        reverse=True,
    )
    done = {
        item.node.name: _challenged(session, plan, item, share, progress)
        for item, share in _shares(datas, seconds, started)
    }
    return _response(plan, names, done, past, time.monotonic() - started)


def _past(session: ProjectSession) -> dict[tuple[str, str], CheckHistory]:
    if session.store is None:
        return {}
    with session.store.read() as tx:
        flips = check_outcomes.check_flips(tx)
        return {
            name: CheckHistory(ran, tuple(flips.get(name, ())))
            for name, ran in check_outcomes.check_counts(tx).items()
        }


def _shares(
    datas: Sequence[NodeData], seconds: int, started: float
) -> Iterator[tuple[NodeData, float]]:
    """Yield each node with its time limit in seconds.

    A node may take SHARES times its share of the remaining time, since most need less, but at most
    half of it while others wait.
    """
    for number, item in enumerate(datas):
        left, waiting = seconds - (time.monotonic() - started), len(datas) - number
        yield item, max(LEAST_S, left if waiting == 1 else min(left / 2, SHARES * left / waiting))


def _challenged(
    session: ProjectSession, plan: _Plan, item: NodeData, seconds: float, progress: Progress
) -> _Done:
    import duckdb

    from headrace.engine.macros import lent
    from headrace.lake.session import DuckDBSession as DuckDB

    readable = [session.production.folders.lake] if session.production is not None else []
    folder, name = session.folders.lake, item.node.name
    try:
        with (
            DuckDB(
                folder,
                readable=readable,
                timezone=item.node.timezone,
                memory_max_bytes=MEMORY_BYTES,
            ) as opened,
            lent(opened, plan.macros),
        ):
            return _tried(opened, plan, item, seconds, progress)
    except duckdb.Error as error:
        text = of_error(first_line(error))
        raise LakeError(
            f"{name} can't be challenged: {text}",
            hint=f"headrace checks challenge --exclude {name}",
        ) from error


def _tried(
    duckdb: DuckDB, plan: _Plan, item: NodeData, seconds: float, progress: Progress
) -> _Done:
    from headrace_advisor.challenge.trials import challenge as put_to_the_test

    subject = _subject(item)
    progress.start(f"challenging {item.node.name}", None)
    result = put_to_the_test(
        duckdb, subject, seconds * (TRIED_SHARE if plan.suggest else 1), progress.advance
    )
    progress.finish()
    name = item.node.name
    plan.downstream.add(name, result)
    left = [
        tried
        for tried in result.unnoticed
        if not plan.downstream.notifications(name, result, tried)
    ]
    unnoticed = tuple(sorted(left, key=lambda tried: plan.rank(name, tried.mutation.columns)))
    suggested = (
        _suggested(duckdb, plan, item, subject, unnoticed, seconds * (1 - TRIED_SHARE))
        if plan.suggest
        else ()
    )
    return _Done(item, result, unnoticed, suggested)


def _subject(item: NodeData) -> ChallengeSubject:
    from headrace.checks.audits_of_queries import About
    from headrace.lake.sqltext import source_sql
    from headrace_advisor.challenge.trials import ChallengeSubject

    columns = own_columns(item.data)
    about = About(
        columns,
        item.partition,
        item.as_of_us,
        item.now_us,
        item.node.timezone,
        item.routing,
        item.references,
    )
    before = "" if item.before is None else source_sql(item.before)
    return ChallengeSubject(
        about, source_sql(item.data), item.checks, before, item.step, item.usual
    )


def _suggested(
    duckdb: DuckDB,
    plan: _Plan,
    item: NodeData,
    subject: ChallengeSubject,
    unnoticed: Sequence[MutationTrial],
    seconds: float,
) -> tuple[Suggested, ...]:
    """Return suggested checks for faults that reach an asset or a consumer.

    Others aren't worth their time.
    """
    from headrace_advisor.challenge.suggestions import remember, suggest
    from headrace_advisor.challenge.trials import Deadline

    reaching = [
        tried for tried in unnoticed if any(plan.reach(item.node.name, tried.mutation.columns))
    ]
    if not reaching:
        return ()
    with Deadline(duckdb, seconds) as deadline:
        memory = remember(duckdb, _rows(item, item.history), subject.about.columns, item.secret)
        if memory is None:
            return ()
        everything = _rows(item, item.everything) if item.everything is not None else ""
        return tuple(suggest(duckdb, subject, reaching, memory, deadline, everything))


def _rows(item: NodeData, data: InputData) -> str:
    """Return the SQL of the rows of several partitions, with their partition column."""
    from headrace.lake.sqltext import quote, relation_sql, source_sql

    if item.before is None and item.partition == "*":
        return f"SELECT '*' AS {quote(PARTITION_COLUMN)}, * FROM ({source_sql(data)}) AS whole"
    return relation_sql(data.files, data.columns, with_partition=True)


def _response(
    plan: _Plan,
    names: Sequence[str],
    done: Mapping[str, _Done],
    past: Mapping[tuple[str, str], CheckHistory],
    seconds: float,
) -> ChallengeResponse:
    unnoticed = [(item, tried) for item in done.values() for tried in item.unnoticed]
    unnoticed.sort(
        key=lambda pair: plan.rank(pair[0].node_data.node.name, pair[1].mutation.columns)
    )
    rows = [(item, suggested) for item in done.values() for suggested in item.suggested]
    suggestions = [_suggestion(plan, item, suggested) for item, suggested in rows]
    return ChallengeResponse(
        checks=[row for name in names for row in _checks(plan, name, done.get(name), past)],
        noticed=_noticed(done.values()),
        unnoticed=[_unnoticed(plan, item, tried) for item, tried in unnoticed],
        suggestions=sorted(suggestions, key=lambda row: (-len(row.consumers), -len(row.assets))),
        unfinished=[name for name, item in done.items() if not item.challenged.finished],
        skipped=[name for name in names if name not in done],
        seconds=seconds,
    )


def _noticed(done: Collection[_Done]) -> dict[str, int]:
    """Return the number of faults by what notices each first."""
    result: Counter[str] = Counter()
    for item in done:
        left = {id(tried) for tried in item.unnoticed}
        for tried in item.challenged.tried:
            if id(tried) not in left:
                result[item.challenged.noticed_by(tried) or "downstream"] += 1
    return dict(result.most_common())


def _checks(
    plan: _Plan, name: str, done: _Done | None, past: Mapping[tuple[str, str], CheckHistory]
) -> Iterator[ChallengedCheckRow]:
    node = plan.node(name)
    result = done.challenged if done is not None else None
    for check in node.checks:
        assessment = verdict_on(
            check,
            node.checks,
            result,
            _past_of(past, name, check.name, view=is_view(plan.project, name)),
        )
        yield ChallengedCheckRow(
            check=check.name,
            asset=name,
            verdict=assessment.verdict,
            mutations_tried=len(result.tried) if result is not None else 0,
            mutations_caught=len(assessment.caught),
            cost_ms=_cost(result, check.name),
            evidence=assessment.evidence,
            kind=check.kind,
            severity=check.severity,
            partition=done.node_data.partition if done is not None else None,
            rows=result.rows if result is not None else None,
            caught=list(assessment.caught),
            file=check.place.file,
            line=check.place.line,
        )


def _cost(result: Challenged | None, check: str) -> float | None:
    took = None if result is None else result.trials[check].cost_ms
    return None if took is None else round(took, 3)


def _past_of(
    past: Mapping[tuple[str, str], CheckHistory], node: str, check: str, *, view: bool
) -> CheckHistory:
    """Return the history of a check.

    A view's checks run when its inputs are published; their outcomes are stored as `VIEW.CHECK`.
    """
    if not view:
        return past.get((node, check), CheckHistory())
    histories = [history for (_, name), history in past.items() if name == f"{node}.{check}"]
    return CheckHistory(
        sum(history.ran for history in histories),
        tuple(partition for check_history in histories for partition in check_history.flips),
    )


def _unnoticed(plan: _Plan, item: _Done, tried: MutationTrial) -> UnnoticedRow:
    name = item.node_data.node.name
    assets, consumers = plan.reach(name, tried.mutation.columns)
    check = next((each.check for each in item.suggested if tried in each.catches), None)
    return UnnoticedRow(
        asset=name,
        partition=item.node_data.partition,
        mutation=tried.mutation.fault,
        says=tried.mutation.says,
        columns=list(tried.mutation.columns),
        rows=item.challenged.rows,
        rows_changed=tried.changed,
        assets=assets,
        consumers=consumers,
        suggestion=None if check is None else marked(as_yaml(check)),
    )


def _suggestion(plan: _Plan, item: _Done, suggested: Suggested) -> SuggestedCheckRow:
    name = item.node_data.node.name
    reached = [plan.reach(name, tried.mutation.columns) for tried in suggested.catches]
    return SuggestedCheckRow(
        asset=name,
        check=as_mapping(suggested.check),
        yaml=marked(as_yaml(suggested.check)),
        evidence=suggested.evidence,
        catches=[tried.mutation.says for tried in suggested.catches],
        consumers=list(
            dict.fromkeys(consumer for _, consumers in reached for consumer in consumers)
        ),
        assets=list(dict.fromkeys(asset for assets, _ in reached for asset in assets)),
    )
