"""Where one side begins after the other: a moved DAG here, and a DAG given back in Airflow.

A task that mails or pays must not run twice. So a move writes the first interval that Airflow has
not run into the files of the assets that start the DAG's tasks (`start:`), and `rollback` says with
which interval Airflow goes on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from headrace.extension import (
    Asset,
    Progress,
    ProjectError,
    ProjectSession,
    Refused,
    apply,
    command_line,
    counted,
    few,
    plan,
    write_files,
)
from headrace.lake import catalog
from headrace.model.intervals import (
    key_at_us,
    keys_between,
    next_key,
    previous_key,
    start_us,
    to_us,
)
from headrace.store.queries import publications
from headrace_import.airflow_server.control import DagState, ScheduledRun
from headrace_import.services.status import DagHere

_START = re.compile(r"^start:.*$", re.MULTILINE)
_PARTITION = re.compile(r"^partition:.*\n(?![ \t])", re.MULTILINE)
INTERVALS_MAX = 1_000
"""At most this number of intervals after Airflow's newest run is looked at, the newest."""


class Beginning(NamedTuple):
    """Where the commands of a moved DAG begin: what to say, and the texts of their files."""

    notes: list[str]
    before: dict[str, str]
    after: dict[str, str]

    @property
    def diff(self) -> str:
        """The unified diff of the files; empty if none changes."""
        return "".join(
            line
            for path, text in self.after.items()
            for line in difflib.unified_diff(
                self.before[path].splitlines(keepends=True),
                text.splitlines(keepends=True),
                f"a/{path}",
                f"b/{path}",
            )
        )


def require_applied(session: ProjectSession, dag: str, progress: Progress) -> None:
    """Raise ProjectError if files aren't applied yet: a move applies only what it writes."""
    changed = [row.node for row in plan(session, progress=progress).changes]
    if changed:
        raise ProjectError(
            f"{dag} can't be moved: changes of {few(changed)} aren't applied yet",
            hint=f"headrace apply, then {command_line('import', 'move', dag)}",
        )


def beginning(
    session: ProjectSession, directory: Path, here: DagHere, newest: ScheduledRun | None
) -> Beginning:
    """Return where the assets that start a DAG's tasks begin after Airflow's newest run.

    A `start:` that is later already stays. Raise ProjectError for a file without a place for it.
    """
    notes: list[str] = []
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    if newest is None or newest.logical_date is None:
        return Beginning(["Airflow has run no interval of it yet"], before, after)
    notes.append(
        f"Airflow's newest run {newest.dag_run_id} {_ended_as(newest.state)}"
        f" ({newest.logical_date:%Y-%m-%d %H:%M} {newest.logical_date.tzname()})"
    )
    for asset in _timed(session, here.commands):
        grain = asset.partition.time_grain
        newest_key = key_at_us(to_us(newest.logical_date), grain, asset.timezone)
        first = next_key(newest_key, grain, asset.timezone)
        if asset.start is not None and _at(asset, asset.start) >= _at(asset, first):
            notes.append(f"{asset.name} begins here with {asset.start}")
            continue
        path = asset.body.file
        before[path] = (directory / path).read_text(encoding="utf-8")
        after[path] = _with_start(path, before[path], first)
        notes.append(f"{asset.name} begins here with {first}")
    return Beginning(notes, before, after)


def _ended_as(state: str) -> str:
    return {"success": "succeeded", "failed": "failed"}.get(state, state)


def begin(
    session: ProjectSession, directory: Path, dag: str, start: Beginning, progress: Progress
) -> ProjectSession:
    """Write and apply where a moved DAG begins; return a session of the project as applied then.

    Raise Refused if a policy wants an approval for it.
    """
    again = session.again(session.actor)
    if not start.after:
        return again
    write_files(directory, start.after, "look at its permissions, then try again")
    response = apply(again, confirm=lambda _: True, progress=progress)
    if response.state == "refused":
        again.close()
        raise Refused(
            f"{dag} is paused in Airflow now, and where it begins here is written into"
            f" {few(list(start.after))}, but not applied: the plan needs an approval",
            hint=f"headrace apply, then {command_line('import', 'move', dag)}",
        )
    again.close()
    return session.again(session.actor)


def _with_start(path: str, text: str, first: str) -> str:
    line = f"start: {first}"
    if _START.search(text):
        return _START.sub(line, text, count=1)
    result, count = _PARTITION.subn(lambda match: f"{match[0]}{line}\n", text, count=1)
    if not count:
        raise ProjectError(
            f"{path} has no line `partition:` below which `start: {first}` could be written",
            hint=f"write `{line}` into {path} yourself; then headrace apply",
        )
    return result


def _timed(session: ProjectSession, names: Sequence[str]) -> list[Asset]:
    """Return the assets among the names that have a partition for each interval."""
    assert session.compiled is not None
    assets = session.compiled.project.assets
    return [assets[name] for name in names if assets[name].partition.grain is not None]


def _at(asset: Asset, key: str) -> int:
    return start_us(key, asset.partition.time_grain, asset.timezone)


class Continuation(NamedTuple):
    """What Airflow does once a DAG is active there again: notes, and what would run twice."""

    notes: list[str]
    again: list[str]


def continuation(
    session: ProjectSession, here: DagHere, newest: ScheduledRun | None, *, catchup: bool
) -> Continuation:
    """Return with which interval Airflow goes on, and what of it the commands have run here.

    With catchup Airflow runs each interval after its newest run, else only the last that ended.
    """
    timed = _timed(session, here.commands) or _timed(session, here.assets)
    if newest is None or newest.logical_date is None or not timed:
        return Continuation(["Airflow goes on with the DAG's next run"], [])
    missed = _missed(session, timed[0], newest)
    following = missed if catchup else missed[-1:]
    ran = _published(session, [asset.name for asset in timed])
    again = [key for key in following if key in ran] if here.commands else []
    omitted = missed[: len(missed) - len(following)]
    return Continuation([*_notes(following, omitted, again, ran, catchup=catchup)], again)


def _notes(
    following: Sequence[str],
    omitted: Sequence[str],
    again: Sequence[str],
    ran: Mapping[str, object],
    *,
    catchup: bool,
) -> Iterator[str]:
    why = "catchup=True" if catchup else "catchup=False: only the last interval that ended"
    yield (
        f"Airflow goes on with {following[0]} ({why})"
        if following
        else "Airflow goes on with the interval that ends next"
    )
    if again:
        yield f"{_span(again)} ran here, and {_verb(again)} again there"
    only_here = [key for key in omitted if key in ran]
    nowhere = [key for key in omitted if key not in ran]
    if only_here:
        yield (
            f"{_span(only_here)} ran here only: Airflow won't run"
            f" {'it' if len(only_here) == 1 else 'them'}, and its tables have no rows of that time"
        )
    if nowhere:
        yield f"{_span(nowhere)} ran on neither side: start a backfill in Airflow if you need it"


def _span(keys: Sequence[str]) -> str:
    text = counted(len(keys), "interval")
    return f"{text} ({keys[0]})" if len(keys) == 1 else f"{text} ({keys[0]} … {keys[-1]})"


def _verb(keys: Sequence[str]) -> str:
    return "runs" if len(keys) == 1 else "run"


def _missed(session: ProjectSession, asset: Asset, newest: ScheduledRun) -> list[str]:
    """Return the intervals after Airflow's newest run that are due there now, oldest first."""
    grain, zone = asset.partition.time_grain, asset.timezone
    assert newest.logical_date is not None
    newest_us = to_us(newest.logical_date)
    newest_key = key_at_us(newest_us, grain, zone)
    offset_us = newest_us - start_us(newest_key, grain, zone)
    last = key_at_us(session.clock.now_us() - offset_us, grain, zone)
    if newest.has_interval:
        last = previous_key(last, grain, zone)
    first = next_key(newest_key, grain, zone)
    if start_us(first, grain, zone) > start_us(last, grain, zone):
        return []
    return list(keys_between(first, last, grain, zone))[-INTERVALS_MAX:]


def _published(session: ProjectSession, names: Sequence[str]) -> dict[str, object]:
    if session.store is None:
        return {}
    with session.store.read() as tx:
        snapshot = catalog.newest_snapshot(tx)
        return {
            key: row
            for name in names
            for key, row in publications.visible(tx, name, snapshot).items()
        }


def unfinished_error(dag: str, state: DagState) -> Refused:
    """Return the error for a DAG with unfinished runs: Airflow finishes none of a paused DAG."""
    more = f" and {state.unfinished - len(state.runs)} more"
    names = ", ".join(state.runs) + (more if state.unfinished > len(state.runs) else "")
    count, are = counted(state.unfinished, "run"), "is" if state.unfinished == 1 else "are"
    message = f"{count} of {dag} {are} queued or running in Airflow: {names}"
    if state.is_paused:
        return Refused(
            f"{message}. {dag} is paused there, so that Airflow starts no more tasks of it",
            hint=f"let it end there: {command_line('import', 'rollback', dag)}; or mark it as"
            f" failed in Airflow; then {command_line('import', 'move', dag)}",
        )
    return Refused(
        f"{message}. Nothing was changed, because Airflow starts no more tasks of a paused DAG",
        hint=f"when it has ended: {command_line('import', 'move', dag)}",
    )
