"""`quarantine`: held and rejected data, with the reason, sample rows and the next command."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import msgspec

from headrace.access.permissions import READ, command, unrestricted
from headrace.connect.deliveries import Format
from headrace.connect.formats.csv_dialect import (
    DELIMITERS,
    SEPARATOR_LINE,
    dialect,
    from_header,
    lines_above,
    rows_of,
)
from headrace.model import Asset, Contract, Project, Source
from headrace.model.file_names import visible_name
from headrace.model.partitions import WHOLE, command_line, partition_argument
from headrace.project import targets
from headrace.project.parameters import Argument
from headrace.project.session import ProjectSession
from headrace.repairs.broken_partitions import failed_checks
from headrace.repairs.repairs import BrokenPartition, other_choices, repairs
from headrace.responses import QuarantineRow, RepairRow
from headrace.scheduler.states import PartitionState
from headrace.slo.broken_facts import BrokenFacts
from headrace.slo.times import dated
from headrace.store import Transaction
from headrace.store.queries import (
    attempts,
    deliveries,
    exceptions,
    incidents,
    partition_states,
    quality,
    quarantine,
)
from headrace.store.queries import quarantine as stored
from headrace.store.queries.exceptions import ExceptionRecord
from headrace.store.queries.incidents import Incident
from headrace.store.queries.quarantine import Quarantined

# The first rows of a held delivery. Its raw bytes were kept, but its rows never became a table.

ROWS_MAX = 5
BYTES_MAX = 64 * 1024
CHARACTERS_MAX = 200
"""Maximum number of characters of one value."""
COLUMNS_MAX = 200
_SEPARATED = (".csv", ".tsv", ".txt", ".psv")
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_DUE = "it is tried again as soon as it can be"


def first_rows(
    data_folder: Path, path: str | None, delivery: str | None, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the first rows of a text delivery as text, split as its source's `options` say.

    Empty if the file is missing or of another kind. Never raise, whatever the file contains.
    """
    if path is None or delivery is None or not path.startswith("raw/"):
        return []
    ending = PurePosixPath(delivery.removesuffix(".gz")).suffix.lower()
    csv_options = options.get("csv") or {}
    encoding = csv_options.get("encoding", "utf-8-sig")
    text = _beginning(data_folder / path, encoding, packed=delivery.endswith(".gz"))
    if csv_options or (ending in _SEPARATED and "fixed_width" not in options):
        return _separated_rows(text, csv_options)
    # responses of an API are stored as JSON lines, whatever its URL ends with
    is_json = text.lstrip().startswith("{") or ending in _JSON_LINES
    return _json_rows([line for line in text.splitlines() if line.strip()]) if is_json else []


def _beginning(path: Path, encoding: str, *, packed: bool) -> str:
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            data = file.read(BYTES_MAX)
    except (OSError, EOFError, zlib.error):
        return ""
    return data.decode(encoding, "backslashreplace").replace("\0", "\\0")


def _separated_rows(text: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    if (separator := SEPARATOR_LINE.match(text)) and not lines_above(options):
        options = {"delimiter": separator[1], "skip": 1, **options}
    comment = options.get("comment", "")
    text = from_header(text, lines_above(options), comment)
    rows = list(islice(_readable(rows_of(text, _form(text, options)), comment), ROWS_MAX + 1))
    names = rows.pop(0) if options.get("header", True) and rows else options.get("columns", [])
    return [
        {name: _cut(value) for name, value in list(zip(names, row, strict=False))[:COLUMNS_MAX]}
        for row in rows[:ROWS_MAX]
    ]


def _readable(rows: Iterator[list[str]], comment: str) -> Iterator[list[str]]:
    """Yield the rows above a broken one, without blank lines and comments."""
    with suppress(csv.Error, ValueError):
        for row in rows:
            if row and not (comment and row[0].startswith(comment)):
                yield row


def _form(text: str, options: Mapping[str, Any]) -> Format:
    """Return the declared or else the detected form; by the header alone if rows are broken."""
    form = dialect(text)
    if form.delimiter == ",":  # also where no delimiter splits all rows
        header = text.lstrip().partition("\n")[0]
        form = msgspec.structs.replace(form, delimiter=max(DELIMITERS, key=header.count))
    declared = {name: options[name] for name in ("delimiter", "quote") if name in options}
    return msgspec.structs.replace(form, **declared)


def _json_rows(lines: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for line in lines[:ROWS_MAX]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return rows
        if isinstance(value, dict):
            rows.append({name: _cut(str(item)) for name, item in list(value.items())[:COLUMNS_MAX]})
    return rows


def _cut(value: str) -> str:
    return value if len(value) <= CHARACTERS_MAX else value[: CHARACTERS_MAX - 1] + "…"


# Sample rows without classified columns: not everyone who may list the quarantine may see those
# values.


def without_classified(
    rows: Iterable[dict[str, Any]],
    contract: Contract | None,
    *,
    raw: bool,
    also: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return the rows without classified columns.

    Of a raw delivery (`raw`) only columns with known, unclassified names are kept: a renamed column
    would reveal its values under the new name.
    """
    classified = _names(contract, classified=True) | {name.lower() for name in also}
    if not classified:
        return list(rows)
    harmless = _names(contract, classified=False) - classified
    visible_rows = [
        {
            name: value
            for name, value in row.items()
            if _may_be_shown(name.lower(), classified, harmless, raw=raw)
        }
        for row in rows
    ]
    return [row for row in visible_rows if row]


def _may_be_shown(name: str, classified: set[str], harmless: set[str], *, raw: bool) -> bool:
    return name in harmless if raw else name not in classified


def _names(contract: Contract | None, *, classified: bool) -> set[str]:
    """Return names of columns in lower case, including their names in files."""
    columns = [
        column
        for column in (contract.columns if contract else ())
        if bool(column.classification) is classified
    ]
    return {
        name.lower()
        for column in columns
        for name in (column.name, *(str(entry["name"]) for entry in column.names))
    }


# Partitions in quarantine because of an incident. Separate from the code that decides about them.


def waiting_for(tx: Transaction, incident: Incident) -> list[Quarantined]:
    """Return the quarantined data at an incident's partitions, by node and partition."""
    seen = {(node, key or WHOLE) for node, key in incidents.partitions_of(tx, incident.id)}
    nodes = sorted({node for node, _ in seen})
    results = [row for node in nodes for row in quarantine.waiting(tx, node=node)]
    return [row for row in results if (row.node, row.partition) in seen]


def decided_together(tx: Transaction, incident: Incident, word: str) -> list[Quarantined]:
    """Return the data that one decision (`accept`, `drop`) about an incident covers.

    Deliveries with renamed columns can't be accepted that way: the renames must be decided first,
    otherwise a column would be empty in all of their rows. Neither can deliveries that no rule
    reads.
    """
    rows = waiting_for(tx, incident)
    if word != "accept":
        return rows
    return [
        row
        for row in rows
        if row.acceptable and not quality.renames_wait(tx, row.node, row.partition)
    ]


@command("quarantine", READ, of="target", http="GET /quarantine quarantine", session="quarantine")
def list_quarantine(
    session: ProjectSession,
    target: Annotated[
        str | None, Argument("[ASSET[@K]]", help="only this asset, source or partition")
    ] = None,
) -> list[QuarantineRow]:
    """Return the quarantined data by node and partition, restricted to `target` if given.

    `target` is an asset, a source or a partition. Raise UsageError for an unknown target.
    """
    project = session.project()
    node, partition = targets.target(target, project) if target else (None, None)
    if session.store is None:
        return []
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        rows = [
            _row(session, tx, project, item)
            for item in stored.waiting(tx, node=node, partition=partition)
        ]
        for record in _exceptions(tx, node, partition, now_us):
            row = _excepted(session, tx, project, record, lapsed=record.lapsed(now_us))
            if row is not None:
                rows.append(row)
        if not rows and node is not None and partition is not None:
            rows = _dropped(session, tx, project, node, partition)
    # after the transaction: an environment reads which nodes it borrows from production
    return _without_hidden(session, rows)


def _without_hidden(session: ProjectSession, rows: list[QuarantineRow]) -> list[QuarantineRow]:
    """Return the rows, without samples of nodes with columns that are hidden from the identity."""
    if unrestricted(session):
        return rows
    samples: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        samples.setdefault(row.node, []).extend(row.sample)
    hidden = {node for node, items in samples.items() if _hides_columns(session, node, items)}
    return [_without_samples(row) if row.node in hidden else row for row in rows]


def _hides_columns(
    session: ProjectSession, node: str, samples: Sequence[Mapping[str, Any]]
) -> bool:
    """Return whether columns of a node are hidden from the identity; note what it reads clear."""
    from headrace.privacy.masking import column_limits, note_clear_columns

    limits = column_limits(session, node)
    if not limits.hides:
        names = {name for item in samples for name in item}
        note_clear_columns(session, node, limits, names, names)
    return limits.hides


def _without_samples(row: QuarantineRow) -> QuarantineRow:
    checks = [msgspec.structs.replace(check, sample=[]) for check in row.checks]
    return msgspec.structs.replace(row, sample=[], checks=checks)


def _dropped(
    session: ProjectSession, tx: Transaction, project: Project, node: str, partition: str
) -> list[QuarantineRow]:
    """Return the dropped data of a partition, as long as nothing else was published for it."""
    current, row = partition_states.get(tx, node, partition), stored.dropped(tx, node, partition)
    if row is None or current is None or current.publication_id is not None:
        return []
    reason = "; it waited because: ".join(filter(None, [current.reason, row.reason]))
    quarantine_row = _row(session, tx, project, row)
    return [msgspec.structs.replace(quarantine_row, verdict=row.state, reason=reason)]


def _exceptions(
    tx: Transaction, node: str | None, partition: str | None, now_us: int
) -> Iterator[ExceptionRecord]:
    """Yield a partition's exceptions in force or, without a partition, those that have lapsed."""
    for record in exceptions.exceptions_in_force(tx):
        if node not in (None, record.node):
            continue
        if record.partition == partition or (partition is None and record.lapsed(now_us)):
            yield record


def _excepted(
    session: ProjectSession,
    tx: Transaction,
    project: Project,
    record: ExceptionRecord,
    *,
    lapsed: bool,
) -> QuarantineRow | None:
    """Return data published by an exception; `held` if the exception has lapsed.

    None if the quarantine record is gone.
    """
    row = stored.get(tx, record.quarantine_id)
    if row is None:
        return None
    until = "" if record.until is None else f" until {dated(record.until, session.timezone)}"
    reason = f"accepted by {record.actor}{until}: {record.reason}; it waited because: {row.reason}"
    quarantine_row = _row(
        session, tx, project, msgspec.structs.replace(row, state="held"), seen=True
    )
    at = partition_argument(record.node, record.partition)
    renew = command_line("quarantine", "accept", at, "--reason", "TEXT", "--until", "T")
    take_back = command_line("unpublish", at, "--reason", "TEXT")
    accepted = msgspec.structs.replace(
        quarantine_row,
        state="accepted",
        verdict="warned",
        at=session.instant(record.at),
        reason=reason,
        repair=None,
        todo=f"{renew} renews it, {take_back} takes it back",
        decide=[renew, take_back],
    )
    if not lapsed or record.until is None:
        return accepted
    return msgspec.structs.replace(
        accepted,
        state="held",
        at=session.instant(record.until),
        reason=f"the exception has lapsed: {reason}",
        todo=f"{quarantine_row.todo}; {accepted.todo}",
        repair=quarantine_row.repair,
    )


def _row(
    session: ProjectSession,
    tx: Transaction,
    project: Project,
    item: Quarantined,
    *,
    seen: bool = False,
) -> QuarantineRow:
    """Return one row of the response; with `seen`, readers see the data by an exception."""
    node = project.node(item.node)
    delivery = None if item.delivery_id is None else deliveries.get(tx, item.delivery_id)
    attempt = attempts.get(tx, item.epoch, item.n)
    current = partition_states.get(tx, item.node, item.partition)
    is_due = current is not None and current.state == PartitionState.WAITING and not seen
    renamed = (quality.renames_published if seen else quality.renames_wait)(
        tx, item.node, item.partition
    )
    known = BrokenFacts(tx, [(item.node, item.partition)])
    repair = (
        None
        if is_due
        else _repair(
            known,
            project,
            item,
            delivery.path if delivery else None,
            renamed=renamed,
            declared=known.declared.get((item.node, item.partition), ""),
        )
    )
    return QuarantineRow(
        node=item.node,
        partition=item.partition,
        state=item.state,
        verdict=(attempt.verdict if attempt else None) or item.state,
        at=session.instant(item.at),
        reason=f"{item.reason}; {_DUE}" if is_due else item.reason,
        owner=node.owner if node else None,
        rows=item.rows,
        path=None if item.path is None else shown_path(session, session.data_folder / item.path),
        delivery=visible_name(project, item.node, delivery.path) if delivery else None,
        sample=_sample(session, project, item, delivery.path if delivery else None),
        checks=failed_checks(tx, (item.epoch, item.n), item.partition),
        attempt=f"{item.epoch}.{item.n}",
        todo=f"nothing: {_DUE}" if is_due else _todo(session, repair),
        decide=[
            command
            for command in _decisions(tx, item, renamed=renamed)
            if item.state in ("held", "rejected") and not is_due
        ],
        repair=repair,
        published=current is not None and current.publication_id is not None,
    )


def _sample(
    session: ProjectSession, project: Project, item: Quarantined, delivery: str | None
) -> list[dict[str, Any]]:
    node = project.node(item.node)
    if not isinstance(node, Source | Asset):
        return []
    options = node.connector if isinstance(node, Source) else {}
    rows = item.sample or first_rows(session.data_folder, item.path, delivery, options)
    contract = project.contracts.get(node.contract or node.name)
    return without_classified(rows, contract, raw=not item.sample, also=node.classified)


def _of_all(tx: Transaction, item: Quarantined, word: str) -> list[str]:
    """Return the command that decides about all data of the same incident.

    Empty for one partition.
    """
    incident = incidents.open_at(tx, item.node, item.partition)
    if incident is None or len(decided_together(tx, incident, word)) < 2:
        return []
    return [command_line("quarantine", word, incident.label, "--reason", "TEXT")]


def _decisions(tx: Transaction, item: Quarantined, *, renamed: bool) -> list[str]:
    """Return the commands that decide about the data as it is.

    With undecided renames a column would be empty, so these come first and `accept` is missing.
    """
    at = partition_argument(item.node, item.partition)
    drop = command_line("quarantine", "drop", at, "--reason", "TEXT")
    if not item.acceptable:
        return [drop, *_of_all(tx, item, "drop")]
    if renamed:
        return [drop]
    accept = command_line("quarantine", "accept", at, "--reason", "TEXT", "--until", "7d")
    return [accept, drop, *_of_all(tx, item, "accept")]


def shown_path(session: ProjectSession, path: Path) -> str:
    """Return a path relative to the project if it is inside, else absolute."""
    return (
        path.relative_to(session.root).as_posix()
        if path.is_relative_to(session.root)
        else str(path)
    )


def _repair(
    known: BrokenFacts,
    project: Project,
    item: Quarantined,
    delivery: str | None,
    *,
    renamed: bool,
    declared: str,
) -> RepairRow | None:
    if project.node(item.node) is None:
        return None
    because = (
        f"repair of {item.node}"
        if item.partition == "*"
        else f"repair of {item.node}@{item.partition}"
    )
    broken = BrokenPartition(
        item.node,
        item.partition,
        item.state,
        delivery=delivery,
        renamed=renamed,
        declared=declared,
        acceptable=item.acceptable,
        others=other_choices(known, project, item.node, item.partition),
    )
    return repairs(project, [broken], because)[0]


def _todo(session: ProjectSession, repair: RepairRow | None) -> str:
    if repair is None:
        return "nothing: what it belonged to is no longer declared"
    commands = [session.here(command) for command in repair.commands]
    return "; then: ".join([*([repair.first] if repair.first else []), *commands])
