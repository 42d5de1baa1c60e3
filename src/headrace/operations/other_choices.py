"""What else can be done about a partition that is withheld than to ask for other data, and what becomes of
values if it is accepted: the node that a `references` check names gets the keys that it lacks, a column in
another unit is converted, a value of another type is null."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.model import Asset, Project, Source
from headrace.model.clauses import FRACTIONS, SIZE
from headrace.model.commands import command_line, place
from headrace.quality.drift import conversion_at, in_force
from headrace.quality.value_changes import Differs, ValueDifferenceKind, conversion
from headrace.run.polling import read_again_every
from headrace.store import Transaction
from headrace.store.queries import attempts, checks, drift, partitions
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.drift import FactRow

NAMED_MAX = 5
"""At most so many columns are named."""
_WITHHELD = ("held", "rejected")
_FRACTIONS = re.compile(rf"(\S+): {FRACTIONS}")
"""What was observed of a column whose conversion gives values that it can't take."""
_UNIT = re.compile(rf"{SIZE}(?:about )?([×÷]) (\d+(?:\.\d+)?(?:e\+?\d+)?) \(.*\?\)")
"""The detail of a column whose values are larger, or smaller, by what two units differ by."""


def other_choices(tx: Transaction, project: Project, node: str, partition: str) -> str:
    """The other choices about a partition, as the rest of a sentence that says what to do first; empty
    where there is none, or it isn't withheld."""
    row = partitions.get(tx, node, partition)
    declared = project.source_or_asset(node)
    last = next(iter(attempts.of_partition(tx, node, partition, limit=1)), None)
    if declared is None or last is None or row is None or row.state not in _WITHHELD:
        return ""
    facts = drift.facts_of(tx, node, partition)
    holding = [fact for fact in facts if (fact.epoch, fact.n) == (last.epoch, last.n) and fact.severity == "hold"]
    if isinstance(declared, Source) and drift.renames_wait(tx, node, partition):
        return ""
    emptied = _of_values(holding) if row.state == "held" else ""
    keys = _of_keys(tx, project, declared, last, partition)
    return emptied + keys + (_of_conversions(project, declared, holding, partition) or _of_units(declared, holding, partition))


def _of_conversions(project: Project, node: Source | Asset, holding: Sequence[FactRow], partition: str) -> str:
    """The command that ends the conversions of columns that a delivery is held for: what the vendor sends may
    be as it was agreed again, and only the conversion makes it otherwise."""
    contract = project.contracts.get(node.contract or node.name) if isinstance(node, Source) else None
    odd = {row.column for row in holding}
    odd |= {match[1] for row in holding if (match := _FRACTIONS.search(row.observed)) is not None}
    results = [
        (column, text) for column in (contract.columns if contract is not None else ())
        if column.name in odd and (text := conversion_at(column, partition)) is not None and text.strip('"') != in_force(column, partition)
    ]  # fmt: skip
    if not results:
        return ""
    names = ", ".join(column.name for column, _ in results)
    texts = ", ".join(f"{text}, {column.place.file}:{column.place.line}" if column.place is not None else text for column, text in results)
    maps = [word for column, _ in results for word in ("--map", f"{column.name}={in_force(column, partition)}")]
    command = command_line("contract", "accept", place(node.name, partition), *maps, "--as-is")
    need, them = ("needs", "it") if len(results) == 1 else ("need", "them")
    return f", or, if {names} {need} no conversion any more ({texts}), end {them} ({command})"


def _of_values(holding: Sequence[FactRow]) -> str:
    """What becomes of values that a column can't take, or doesn't have any more, if somebody accepts them:
    it is said right after that choice."""
    null = [f"{row.column} (where it isn't {row.expected})" for row in holding if row.kind == "type_change" and row.column]
    null += [row.column for row in holding if (row.kind, row.detail) == ("schema_change", "dropped")]
    more = f" and {len(null) - NAMED_MAX} more" if len(null) > NAMED_MAX else ""
    return f": readers then see NULL in {', '.join(null[:NAMED_MAX])}{more}" if null else ""


def _of_units(node: Source | Asset, rows: Sequence[FactRow], partition: str) -> str:
    """The command that converts the columns of a held delivery; empty where something else holds it, too."""
    units = {row.column: match for row in rows if (match := _UNIT.fullmatch(row.detail)) is not None}
    if not isinstance(node, Source) or not units or len(units) < len(rows):
        return ""
    words: list[str] = []
    for column, match in units.items():
        factor = float(match[2]) if match[1] == "×" else 1 / float(match[2])
        converted = conversion(column, [Differs(kind=ValueDifferenceKind.SCALE, text="", factor=factor)])
        words += ["--map", f"{column}={column}", "--convert", converted or column]
    command = command_line("contract", "accept", place(node.name, partition), *words)
    names, are, them = (", ".join(units), "is", "it") if len(units) == 1 else (", ".join(units), "are", "them")
    return f", or, if {names} {are} in another unit, convert {them} ({command})"


def _of_keys(tx: Transaction, project: Project, node: Source | Asset, last: Attempt, partition: str) -> str:
    """Who adds keys that a `references` check missed, and when the partition is checked again."""
    failed = {
        outcome.name
        for outcome in checks.of_attempt(tx, last.epoch, last.n)
        if outcome.partition == partition
        and outcome.outcome == "failed"
        and outcome.severity == "blocking"
        and outcome.kind == "references"
    }
    to = next((str(check.arguments["to"]) for check in node.checks if check.kind == "references" and check.name in failed), None)
    other = None if to is None else project.source_or_asset(to.partition(".")[0])
    if other is None:
        return ""
    asked, again = f"; or, if {to} lacks keys, ask {other.owner} for them", f"checked again as soon as {other.name} has other rows"
    every = read_again_every(tx, other) if isinstance(other, Source) else None
    if every is None:
        return f"{asked}: it is {again}"
    run = command_line("run", other.name, "--again", "--reason", "TEXT")
    return f"{asked}, then {run} ({other.name} is read every {every} by itself): it is {again}"
