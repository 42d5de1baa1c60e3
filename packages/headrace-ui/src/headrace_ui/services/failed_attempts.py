"""`incident failure`: the failed attempt behind an incident, its code, its log, and what changed.

Code is that of the version that ran, from the state: the files of today may be others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec

from headrace.access.permissions import hiding
from headrace.extension import SEE, Asset, ProjectSession, command, command_line
from headrace.model import Project
from headrace.model.causes import CauseKind
from headrace.model.nodes import InputSpec
from headrace.model.partitions import WHOLE, partition_argument, required
from headrace.plan import Compiled
from headrace.project.code_versions import VersionCodeCache, code_file_of
from headrace.project.parameters import IncidentId
from headrace.project.text_differences import LINE_MAX, line_differences
from headrace.repairs.broken_partitions import error_row
from headrace.repairs.incident_rows import (
    attempts_of_evidence,
    number_of,
    unknown_incident,
    visible_in,
)
from headrace.responses import CodeRow
from headrace.responses.runs import LogRow
from headrace.services.logs import is_readable, lines_of
from headrace.services.runs import reason_of
from headrace.store import Transaction
from headrace.store.queries import applied_versions, attempts
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.incidents import Incident
from headrace_ui.queries.snapshots import visible_at
from headrace_ui.responses.failures import (
    AttemptInputRow,
    ChangedFileRow,
    ChangedPackageRow,
    ChangesRow,
    CodeExcerptRow,
    FailedAttemptRow,
    FailureResponse,
    GoodRunRow,
)

OF_ATTEMPTS = frozenset(
    {
        CauseKind.CODE_ERROR,
        CauseKind.RESOURCE_EXHAUSTED,
        CauseKind.WORKER_LOST,
        CauseKind.CONFIGURATION_ERROR,
        CauseKind.DESTINATION_UNAVAILABLE,
        CauseKind.POISON_DELIVERY,
        CauseKind.UNKNOWN,
    }
)
"""Kinds of causes that a failed attempt is evidence of."""
FAILED = ("failed", "lost")
SEARCHED_MAX = 200
"""The number of a node's newest failed attempts among which the incident's is searched."""
CODE_LINES = 7
"""The number of lines of code before the failing one, and after it."""
INPUT_PARTITIONS_MAX = 20


@command(
    "incident failure",
    SEE,
    lists=True,
    http="GET /incidents/{incident}/failure incident_failure",
    of_files=True,
)
def incident_failure(session: ProjectSession, incident: IncidentId) -> FailureResponse:
    """Return the newest failed attempt behind an incident, with its code and what changed before.

    Raise UnknownName if the incident doesn't exist.
    """
    number = number_of(incident)
    if session.store is None or session.compiled is None:
        raise unknown_incident(number)
    with session.store.read() as tx:
        facts = visible_in(session, tx, number)
        failure = _failure_of(tx, facts)
        row = None if failure is None else _row(session, session.compiled, tx, failure)
    if failure is not None and row is not None:
        row = msgspec.structs.replace(row, withheld=not is_readable(session, row.node))
        row = _with_log(session, row, failure.partition)
    return FailureResponse(incident=facts.label, failed=row)


class _Failure(NamedTuple):
    """A failed attempt, and the partition that the incident is about."""

    attempt: Attempt
    partition: str


def _failure_of(tx: Transaction, incident: Incident) -> _Failure | None:
    """Return the newest failed attempt at the incident's partitions by its end.

    Otherwise the last one that its evidence refers to. None for causes of other kinds.
    """
    if incident.kind not in OF_ATTEMPTS:
        return None
    keys = {incident.partition or WHOLE, *incident.affected.partitions}
    failed = attempts.of_node(tx, incident.node, limit=SEARCHED_MAX, states=FAILED)
    cited = [item for item in attempts_of_evidence(tx, incident) if item.state in FAILED]
    for attempt in (*failed, *reversed(cited)):
        known = [key for key in attempt.partitions if key in keys]
        if known and _is_before_end(attempt, incident) and (attempt.error or attempt.reason):
            return _Failure(attempt, known[-1])
    return None


def _is_before_end(attempt: Attempt, incident: Incident) -> bool:
    """Whether an attempt was queued before the incident was resolved."""
    return incident.resolved_at is None or attempt.queued_at <= incident.resolved_at


def _row(
    session: ProjectSession, applied: Compiled, tx: Transaction, failure: _Failure
) -> FailedAttemptRow:
    attempt, key = failure
    codes, redacted = VersionCodeCache(tx), hiding(session)
    good = _last_good(tx, attempt, key)
    commands = [command_line("logs", attempt.id)]
    if attempt.node in applied.project.assets:
        commands.insert(0, command_line("try", partition_argument(attempt.node, key)))
    return FailedAttemptRow(
        attempt=attempt.id,
        run_id=str(attempt.run_id),
        node=attempt.node,
        partitions=list(attempt.partitions),
        state=attempt.state,
        at=session.instant(attempt.finished_at or attempt.started_at or attempt.queued_at),
        version=attempt.version,
        reason=reason_of(attempt),
        error=error_row(attempt.error),
        code=_excerpt(tx, applied.project, attempt, redacted),
        traceback=[],
        log=[],
        log_lines=0,
        withheld=True,
        inputs=_inputs(tx, codes, failure, good),
        good=None if good is None else _good_row(session, good, key),
        changes=(
            None
            if good is None
            else _changes(tx, codes.code_of(good), codes.code_of(attempt), redacted)
        ),
        commands=commands,
    )


# The code that failed, from the files of the version that ran.


def _excerpt(
    tx: Transaction, applied: Project, attempt: Attempt, redacted: Callable[[str], str]
) -> CodeExcerptRow | None:
    """Return the lines around the error's; None if it names none, or its file isn't stored."""
    file, line = (attempt.error or {}).get("file"), (attempt.error or {}).get("line")
    if attempt.version is None or not isinstance(file, str) or not isinstance(line, int):
        return None
    heading = next(iter(applied_versions.headings(tx, attempt.version)), None)
    digest = None if heading is None else heading.manifest.get(file)
    text = None if digest is None else applied_versions.file_text(tx, digest)
    lines = [] if text is None else text.split("\n")
    if not 1 <= line <= len(lines):
        return None
    first = max(1, line - CODE_LINES)
    newest = applied_versions.headings(tx, applied_versions.newest_id(tx))[0].manifest
    state = "gone" if file not in newest else "same" if newest[file] == digest else "changed"
    asset = applied.assets.get(attempt.node)
    now_in = None if asset is None or state != "gone" else code_file_of(asset)
    return CodeExcerptRow(
        file=file,
        line=line,
        version=attempt.version,
        first=first,
        lines=[redacted(text)[:LINE_MAX] for text in lines[first - 1 : line + CODE_LINES]],
        applied=state,
        now_in=now_in,
    )


# The end of its log: the traceback, and the lines before it.

LOG_SEARCHED = 400
"""The number of last lines in which the traceback is searched."""
TRACEBACK_MAX = 60
LOG_MAX = 40
TRACEBACK_HEAD = "Traceback (most recent call last):"
CHAINED = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)


def _with_log(session: ProjectSession, row: FailedAttemptRow, partition: str) -> FailedAttemptRow:
    """Return the row with the end of its log; without texts that may not be read."""
    page = lines_of(session, row.attempt, grep=None, begin=-LOG_SEARCHED, limit=LOG_SEARCHED)
    changed = msgspec.structs.replace(row, log_lines=page.total)
    if row.withheld:
        return changed
    batch = ",".join(row.partitions)
    lines = [line for line in page.rows if line.partition in (partition, batch)]
    start = traceback_start([line.text for line in lines])
    stream = lines[start].stream if start < len(lines) else ""
    traceback = [line for line in lines[start:] if line.stream == stream]
    others = [*lines[:start], *(line for line in lines[start:] if line.stream != stream)]
    short = [_with_short_paths(session, line) for line in _ends(traceback)]
    return msgspec.structs.replace(changed, traceback=short, log=others[-LOG_MAX:])


def _with_short_paths(session: ProjectSession, line: LogRow) -> LogRow:
    """Return the line with paths of the project instead of those of the version's copy."""
    copies = re.escape(f'File "{session.folders.code}{os.sep}')
    text = re.sub(rf"{copies}\w+{re.escape(os.sep)}", 'File "', line.text)
    return msgspec.structs.replace(line, text=text)


def traceback_start(texts: Sequence[str]) -> int:
    """Return where the last traceback of Python begins, with those that it follows from.

    The number of texts if there is none. It lasts until the end of its stream: the error's text
    may have several lines.
    """
    heads = [place for place, text in enumerate(texts) if text.endswith(TRACEBACK_HEAD)]
    if not heads:
        return len(texts)
    start = heads.pop()
    while heads and _follows(texts, start):
        start = heads.pop()
    return start


def _follows(texts: Sequence[str], start: int) -> bool:
    """Whether a traceback follows from one before, or is a part of an exception group."""
    indented = texts[start].startswith(" ") and "Exception Group" not in texts[start]
    return indented or any(text.strip() in CHAINED for text in texts[max(0, start - 3) : start])


def _ends(lines: list[LogRow]) -> list[LogRow]:
    """Return a traceback's first and last lines: the last ones name the error."""
    half = TRACEBACK_MAX // 2
    return lines if len(lines) <= TRACEBACK_MAX else [*lines[:half], *lines[-half:]]


# What it read: the partitions of each input, as they were published when it began.


def _inputs(
    tx: Transaction, codes: VersionCodeCache, failure: _Failure, good: Attempt | None
) -> list[AttemptInputRow]:
    attempt, key = failure
    compiled = codes.compiled_of(attempt)
    if compiled is None or attempt.node not in compiled.project.assets:
        return []
    asset = compiled.project.assets[attempt.node]
    return [
        _input(tx, compiled.project, asset, spec, failure, good if _is_at(good, key) else None)
        for spec in compiled.nodes[asset.name].inputs
    ]


def _is_at(attempt: Attempt | None, key: str) -> bool:
    return attempt is not None and key in attempt.partitions


def _input(
    tx: Transaction,
    project: Project,
    asset: Asset,
    spec: InputSpec,
    failure: _Failure,
    good: Attempt | None,
) -> AttemptInputRow:
    source = project.sources.get(spec.node) or project.assets[spec.node]
    needed = required(
        asset.partition, asset.timezone, failure.partition, source.partition, source.timezone, spec
    ).keys
    if needed is None or not needed:
        return AttemptInputRow(
            node=spec.node,
            partitions=None if needed is None else [],
            total=None if needed is None else 0,
            missing=[],
            changed=None,
        )
    keys = needed[-INPUT_PARTITIONS_MAX:]
    read = _publications(tx, spec.node, keys, failure.attempt.snapshot_read)
    before = None if good is None else _publications(tx, spec.node, keys, good.snapshot_read)
    return AttemptInputRow(
        node=spec.node,
        partitions=list(keys),
        total=len(needed),
        missing=[key for key in keys if read is not None and key not in read],
        changed=(
            None
            if before is None or read is None
            else [key for key in keys if before.get(key) != read.get(key)]
        ),
    )


def _publications(
    tx: Transaction, node: str, keys: Collection[str], snapshot: int | None
) -> dict[str, str] | None:
    """Return what identifies the rows of each partition in a snapshot; None for no snapshot."""
    if snapshot is None:
        return None
    visible = {key: visible_at(tx, node, key, snapshot) for key in keys}
    return {
        key: publication.content_hash or str(publication.id)
        for key, publication in visible.items()
        if publication is not None
    }


# The last good run, and what changed since.


def _last_good(tx: Transaction, failed: Attempt, key: str) -> Attempt | None:
    """Return the last published attempt before, at the same partition if there is one."""
    place = (failed.epoch, failed.n)
    at_partition = attempts.of_partition(tx, failed.node, key, limit=SEARCHED_MAX)
    at_node = attempts.of_node(tx, failed.node, limit=1, states=("published",), before=place)
    earlier = (
        item
        for item in (*at_partition, *at_node)
        if item.state == "published" and (item.epoch, item.n) < place
    )
    return next(earlier, None)


def _good_row(session: ProjectSession, good: Attempt, key: str) -> GoodRunRow:
    same = key in good.partitions
    return GoodRunRow(
        attempt=good.id,
        run_id=str(good.run_id),
        partition=key if same else good.partitions[-1],
        at=session.instant(good.published_at or good.finished_at or good.queued_at),
        version=good.version,
        same=same,
    )


def _changes(
    tx: Transaction,
    before: CodeRow | None,
    after: CodeRow | None,
    redacted: Callable[[str], str],
) -> ChangesRow:
    if before is None or after is None:
        return ChangesRow(known=False, files=[], packages=[])
    return ChangesRow(
        known=True,
        files=list(_changed_files(tx, before, after, redacted)),
        packages=list(_changed_packages(before, after)),
    )


def _changed_files(
    tx: Transaction, before: CodeRow, after: CodeRow, redacted: Callable[[str], str]
) -> Iterator[ChangedFileRow]:
    old = {file.path: file.sha256 for file in before.files}
    new = {file.path: file.sha256 for file in after.files}
    for path in sorted({*old, *new}):
        if old.get(path) == new.get(path):
            continue
        change = "added" if path not in old else "removed" if path not in new else "changed"
        texts = _text(tx, old.get(path)), _text(tx, new.get(path))
        diff, truncated = line_differences(*texts, redacted)
        yield ChangedFileRow(path=path, change=change, diff=diff, truncated=truncated)


def _text(tx: Transaction, digest: str | None) -> str | None:
    """Return a file's text, empty for a file that isn't there; None if it isn't stored as text."""
    return "" if digest is None else applied_versions.file_text(tx, digest)


def _changed_packages(before: CodeRow, after: CodeRow) -> Iterator[ChangedPackageRow]:
    old, new = _versions(before), _versions(after)
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield ChangedPackageRow(name=name, before=old.get(name), after=new.get(name))


def _versions(code: CodeRow) -> dict[str, str | None]:
    """Return the versions of an attempt's packages, programs and interpreter by name.

    A program without a version is known by the start of its hash.
    """
    versions = {package.name: package.version for package in code.packages}
    for program in code.programs:
        versions[program.name] = program.version or (program.sha256 or "")[:12] or None
    if code.interpreter is not None:
        versions["Python"] = code.interpreter
    return versions
