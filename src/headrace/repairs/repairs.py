"""Commands that repair failed, held or rejected partitions, and what a person does before them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headrace.checks.drift import conversion_at, in_force
from headrace.checks.facts import Differs, ValueDifferenceKind, conversion
from headrace.connect.deliveries import IN_CONTRACT
from headrace.engine.attempts import hint_for, named_in
from headrace.incidents.diagnosis.evidence import FailureCategory, failure_said, says_denied
from headrace.incidents.diagnosis.wording import listed
from headrace.model import Asset, ContractColumn, Project, Source
from headrace.model.errors import FRACTIONS, SIZE
from headrace.model.file_names import visible_name
from headrace.model.partitions import WHOLE, command_line, order_of, partition_argument, range_of
from headrace.model.texts import plain
from headrace.plan.backfills import Mode
from headrace.responses import ErrorRow, RepairRow
from headrace.runtime.observations import read_again_every
from headrace.slo.broken_facts import BrokenFacts
from headrace.store import Transaction
from headrace.store.queries import quality
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.quality import DriftRow, FactRow

ROWS_MAX = 20
"""Maximum number of repairs in a response."""
_PASSING = ("transient", "resources", "lost_worker")
"""Kinds of failures that may disappear without any change."""


_INSTALLED = re.compile(r"^install it where Headrace runs: pip install ([\w.-]{1,60})$")
"""The hint of an attempt whose code imports a missing package (`engine.python`)."""
OtherChoices = tuple[tuple[str, ...], str]
"""Choices about a held or rejected partition besides other data: the columns in which readers see
NULL if a person accepts it, and the rest as the end of a sentence about the first step."""
NO_CHOICES: OtherChoices = ((), "")


class BrokenPartition(msgspec.Struct, frozen=True):
    """A partition with a problem.

    `state` is `held`, `rejected`, `dropped`, `failed` or `lost`; or for a published partition
    `warned` if a check failed, else `published`.
    """

    node: str
    partition: str
    state: str
    error: ErrorRow | None = None
    delivery: str | None = None
    """The delivery's path, for a source."""
    renamed: bool = False
    """Whether it is held because of columns with proposed renames."""
    declared: str = ""
    """File and line in the contract that holds a delivery as it was expected before."""
    acceptable: bool = True
    """Whether accepting it as an exception can publish it."""
    of_code: bool = False
    """Whether its workers were lost and an incident attributes that to its code."""
    incident: str | None = None
    """The incident that it is attributed to, if requested."""
    others: OtherChoices = NO_CHOICES
    """Further choices (`other_choices`), appended to the first step."""
    history: str | None = None
    """For a held part of a history that was loaded at once: the summary of its incident.

    It has one repair, whatever is wrong with each delivery.
    """


def before_deciding(owner: str) -> str:
    """Return the first step for held deliveries of a history that was loaded at once."""
    return f"ask {owner} which of these deliveries are right"


def decided_at(node: str) -> str:
    """Return the command that lists a source's held deliveries with their next steps."""
    return command_line("quarantine", node)


def asked_by_its_error(declared: str, error: str) -> str:
    """Return the first step for an attempt that failed because of configuration.

    `declared` is the place of its node; the error may begin with that of its contract.
    """
    contract = re.match(r"contracts/[^:]+:\d+(?=: )", error)
    return f"do what its error asks, or correct {contract[0] if contract else declared}"


def asked_for_access(node: str) -> str:
    """Return the first step for a denied access."""
    return f"check the secret and the rights with which {node} is reached"


def before_reading_again(owner: str) -> str:
    """Return the first step for a delivery whose ingestion exceeded an attempt's memory limit."""
    return f"raise `memory_max` of [run], or ask {owner} for smaller files"


def of_lost(assets: Sequence[Asset]) -> str:
    """Return the first step for assets that lose their worker in every attempt."""
    where = ", ".join(
        f"{asset.name} ({asset.place.file}:{asset.place.line})" for asset in assets[:NAMED_MAX]
    )
    more = f" and {len(assets) - NAMED_MAX} more" if len(assets) > NAMED_MAX else ""
    what = (
        "their code, and the memory that they take"
        if len(assets) > 1
        else "its code, and the memory that it takes"
    )
    return f"look at the machine that runs Headrace, and at {where}{more}: {what}"


def of_resources(
    project: Project, asset: Asset, failure: FailureCategory, message: str
) -> str | None:
    """Return the first step for an asset that reached the same limit in every attempt.

    None if its error names no limit.
    """
    where = f"{asset.name} ({asset.place.file}:{asset.place.line})"
    if failure is FailureCategory.MEMORY:
        return f"make {where} use less memory, or {_more_memory(project, asset)}"
    if failure is FailureCategory.LIMIT:
        hint = (
            hint_for(named_in(message)) or "raise the limit that its error names, or stay below it"
        )
        return f"look at {where}: {hint}"
    return None


def _more_memory(project: Project, asset: Asset) -> str:
    """Return how an asset gets more memory."""
    if asset.memory_max is not None:
        return "raise its memory_max"
    run = project.settings.memory_max
    return (
        "run it where there is more"
        if run is None
        else "raise memory_max of [run], or give it its own"
    )


def _before_trying_again(project: Project, partition: BrokenPartition) -> str | None:
    """Return the first step for a partition without further retries.

    None if it has another reason.
    """
    asset = project.assets.get(partition.node)
    kind = (
        "lost_worker"
        if partition.state == "lost"
        else partition.error.kind
        if partition.error is not None
        else ""
    )
    if asset is None or partition.of_code or kind not in ("lost_worker", "resources"):
        return None
    if kind == "lost_worker":
        return of_lost([asset])
    error = partition.error
    assert error is not None
    return of_resources(
        project, asset, failure_said(error.code or "", error.message), error.message
    )


def lacking(partitions: Iterable[BrokenPartition]) -> list[str]:
    """Return the distinct missing packages of failed attempts, in their order."""
    hints = (
        partition.error.hint or ""
        for partition in partitions
        if partition.state == "failed" and partition.error is not None
    )
    return list(
        dict.fromkeys(
            match.group(1) for hint in hints if (match := _INSTALLED.search(hint)) is not None
        )
    )


def installed(packages: Sequence[str]) -> str:
    """Return the first step for missing packages."""
    return f"install what is missing where Headrace runs: pip install {' '.join(packages)}"


def after_correcting(node: str, keys: Sequence[str], *, is_asset: bool) -> list[str]:
    """Return the commands after a correction of configuration.

    A tick recomputes nodes whose declaration has changed, except for assets; `retry` does the
    others.
    """
    again = command_line("retry", node if len(keys) > 1 else partition_argument(node, keys[0]))
    return [command_line("apply"), again, *([] if is_asset else [command_line("tick")])]


def repairs(project: Project, broken: Iterable[BrokenPartition], because: str) -> list[RepairRow]:
    """Return the repairs of partitions, grouped by node and first step.

    `because` is the reason in the commands. Undeclared nodes have no repair.
    """
    groups: dict[tuple[str, str | None, str | None], list[BrokenPartition]] = {}
    for partition in broken:
        if project.node(partition.node) is None:
            continue
        groups.setdefault(
            (partition.node, first_of(project, partition), partition.incident), []
        ).append(partition)
    return [
        _row(project, node, first, partitions, because)
        for (node, first, _), partitions in groups.items()
    ][:ROWS_MAX]


def _row(
    project: Project,
    node: str,
    first: str | None,
    partitions: Sequence[BrokenPartition],
    because: str,
) -> RepairRow:
    declared = project.source_or_asset(node)
    keys = [partition.partition for partition in partitions]
    history = partitions[0].history
    if declared is not None and declared.partition.grain is not None:
        keys.sort(key=lambda key: order_of(key, declared.partition, declared.timezone))
    if history is not None:
        return RepairRow(
            node=node,
            partitions=keys,
            first=first,
            commands=[decided_at(node)],
            incident=partitions[0].incident,
        )
    commands = _commands(project, node, keys, partitions, because)
    if first is not None:
        emptied = _emptied([name for partition in partitions for name in partition.others[0]])
        texts = (partition.others[1] for partition in partitions if partition.others[1])
        first += _or_accept(node, keys, partitions) + emptied + next(texts, "")
    return RepairRow(
        node=node, partitions=keys, first=first, commands=commands, incident=partitions[0].incident
    )


def _or_accept(node: str, keys: Sequence[str], partitions: Sequence[BrokenPartition]) -> str:
    """Return the alternative to accept the data as it is, if all partitions are held.

    Held partitions have no failed check.
    """
    if any(
        partition.state != "held" or partition.renamed or not partition.acceptable
        for partition in partitions
    ):
        return ""
    what = partition_argument(node, keys[0]) if len(keys) == 1 else partitions[0].incident
    if what is None:
        return f", or accept them as exceptions ({decided_at(node)} lists them)"
    text = "it as an exception" if len(keys) == 1 else "them as exceptions"
    return f", or accept {text} ({command_line('quarantine', 'accept', what, '--reason', 'TEXT')})"


def of_withdrawn(project: Project, node: str, key: str, *, same: bool) -> RepairRow:
    """Return the repair that replaces withdrawn rows.

    `same` says that recomputing the asset as it is gives the same rows.
    """
    declared = project.sources.get(node) or project.assets[node]
    if isinstance(declared, Source):
        return RepairRow(
            node=node,
            partitions=[key],
            first=f"ask {declared.owner} for other data",
            commands=[command_line("tick")],
        )
    run = command_line("run", node, *(() if key == WHOLE else ("--partition", key)))
    if not same:
        return RepairRow(node=node, partitions=[key], first=None, commands=[run])
    first = (
        f"correct {declared.place.file}:{declared.place.line}, or what it reads: computed as it is,"
        " it has the same rows again"
    )
    return RepairRow(
        node=node, partitions=[key], first=first, commands=[command_line("apply"), run]
    )


def first_of(  # complexipy: ignore (a case per state of a partition, in order)
    project: Project, partition: BrokenPartition
) -> str | None:
    """Return the step that must precede any command; None if a retry may suffice."""
    declared = project.node(partition.node)
    if partition.history is not None and declared is not None:
        return f"{partition.history}; {before_deciding(declared.owner)}"
    if declared is not None and partition.error is not None and _is_configured(partition):
        return asked_by_its_error(declared.place.file, partition.error.message)
    if isinstance(declared, Source):
        return _of_source(project, declared, partition)
    if not isinstance(declared, Asset):
        return None
    if _passes(partition):
        return _before_trying_again(project, partition)
    if partition.state == "rejected" and partition.declared:
        return f"correct {partition.declared}, or its input"
    if partition.state in ("rejected", "warned"):
        return f"correct {declared.place.file}, its input or the check that failed"
    if partition.state == "dropped":
        return f"correct {declared.place.file} or its input, if what was dropped is to be computed"
    if partition.state in ("held", "published"):
        return f"correct {declared.place.file} or its input"
    if packages := lacking([partition]):
        return installed(packages)
    if _is_denied(partition):
        return asked_for_access(partition.node)
    return f"correct {_failed_at(declared, partition.error)}, or its input"


def _failed_at(asset: Asset, error: ErrorRow | None) -> str:
    """Return the file that an error names, with its line if known; else the asset's file."""
    if error is None or error.file is None:
        return asset.place.file
    file = error.file or asset.place.file
    return f"{file}:{error.line}" if error.line else file


def _of_source(project: Project, source: Source, partition: BrokenPartition) -> str | None:
    if (
        partition.state == "failed"
        and partition.error is not None
        and partition.error.code == "out_of_memory"
    ):
        return before_reading_again(source.owner)
    if partition.state in ("failed", "lost"):
        return None
    if partition.declared:
        return f"correct {partition.declared}, or ask {source.owner} for data as it says"
    if source.connector and partition.renamed:
        return f"accept the new names, or ask {source.owner} for the data as it was agreed"
    if source.connector:
        declared = project.contracts.get(source.contract or source.name, source).place.file
        return (
            f"ask {source.owner} for the data as it was agreed, or declare it as it is in"
            f" {declared}"
        )
    again = (
        f"under the name {visible_name(project, source.name, partition.delivery)}"
        if partition.delivery
        else "where the source looks"
    )
    if partition.renamed:
        return (
            f"accept the new names, or ask {source.owner} for the file as it was agreed, and put it"
            f" {again}"
        )
    return f"ask {source.owner} for the file as it was agreed, and put it {again}"


def _commands(
    project: Project,
    node: str,
    keys: Sequence[str],
    partitions: Sequence[BrokenPartition],
    because: str,
) -> list[str]:
    declared = project.source_or_asset(node)
    if all(_is_configured(partition) for partition in partitions):
        return after_correcting(node, keys, is_asset=isinstance(declared, Asset))
    withheld = any(partition.state not in ("failed", "lost") for partition in partitions)
    if isinstance(declared, Source) and withheld:
        return _after_other_data(node, partitions)
    passing = all(
        _passes(partition) or lacking([partition]) or _is_denied(partition)
        for partition in partitions
    )
    at_once = passing and not any(
        _before_trying_again(project, partition) for partition in partitions
    )
    if not isinstance(declared, Asset) or at_once:
        return [command_line("retry", node if len(keys) > 1 else partition_argument(node, keys[0]))]
    return ["headrace apply", _again(declared, keys, because, partitions)]


def _after_other_data(node: str, partitions: Sequence[BrokenPartition]) -> list[str]:
    """Return the commands for a source's held deliveries, once a person has decided about them."""
    if any(partition.declared for partition in partitions):
        return [command_line("apply"), command_line("tick")]
    for partition in partitions:
        if partition.renamed:
            at = partition_argument(node, partition.partition)
            return [command_line("contract", "accept", at), command_line("tick")]
    return [command_line("tick")]


def _is_configured(broken: BrokenPartition) -> bool:
    """Whether it failed because of its declaration or of settings outside the project."""
    return (
        broken.state == "failed"
        and broken.error is not None
        and broken.error.code == "configuration_error"
    )


def _passes(broken: BrokenPartition) -> bool:
    """Whether the failure may disappear without any change."""
    failed = broken.error is not None and broken.error.kind in _PASSING
    return (broken.state == "lost" or failed) and not broken.of_code


def _is_denied(broken: BrokenPartition) -> bool:
    """Whether its code was denied access."""
    return (
        broken.state == "failed" and broken.error is not None and says_denied(broken.error.message)
    )


def _again(
    asset: Asset, keys: Sequence[str], because: str, partitions: Sequence[BrokenPartition]
) -> str:
    """Return the command that recomputes partitions, for a range if possible.

    Only a command that names them computes what somebody has dropped.

    Published partitions that aren't stale stay, unless it is about wrong rows in them: a corrected
    reference makes none of them stale.
    """
    named = (word for key in keys if key != WHOLE for word in ("--partition", key))
    if all(partition.state == "dropped" for partition in partitions):
        return command_line("run", asset.name, *named, "--again", "--reason", because)
    if asset.partition.grain is None:
        return command_line("run", asset.name, *named)
    first, last = range_of(keys)
    seen = any(partition.state in ("warned", "published") for partition in partitions)
    again = ("--mode", Mode.ALL.value) if seen else ()
    return command_line(
        "backfill", asset.name, "--from", first, "--to", last, *again, "--reason", because
    )


def by_partition(rows: Iterable[RepairRow]) -> Mapping[tuple[str, str], RepairRow]:
    """Return (node, partition) → its repair."""
    return {(row.node, key): row for row in rows for key in row.partitions}


# Alternatives to new data for a held or rejected partition, and what happens to values if it is
# accepted: the node that a `references` check names gets the missing keys, a column in another unit
# is converted, a value of another type becomes null.

NAMED_MAX = 5
"""Maximum number of columns or assets that are named."""
_WITHHELD = ("held", "rejected")
_FRACTIONS = re.compile(rf"(\S+): {FRACTIONS}")
"""The observation of a column whose conversion gives values that it can't hold."""
_UNIT = re.compile(rf"{SIZE}(?:about )?([×÷]) (\d+(?:\.\d+)?(?:e\+?\d+)?) \(.*\?\)")
"""The detail of a column whose values differ by the factor between two units."""
_DECLARATION = re.compile(
    r"\bdeclare (?:its encoding, such as )?((?:csv|excel|fixed_width|json|xml): \{[^{}]*\})"
)
"""What a rejection asks a source to declare; reasons of held deliveries have it in their drift."""


def other_choices(known: BrokenFacts, project: Project, node: str, partition: str) -> OtherChoices:
    """Return other choices about a partition; none if it isn't in quarantine."""
    place = node, partition
    state, reason = known.states.get(place, ("", None))
    declared, last = project.source_or_asset(node), known.last.get(place)
    if declared is None or last is None or state not in _WITHHELD:
        return NO_CHOICES
    holding = [
        fact
        for fact in known.facts.get(place, ())
        if (fact.epoch, fact.n) == (last.epoch, last.n) and fact.severity == "hold"
    ]
    if isinstance(declared, Source) and place in known.renamed:
        return NO_CHOICES
    is_offered = state == "held" and place not in known.unacceptable
    emptied = _emptied_columns(holding) if is_offered else ()
    keys = _of_keys(known.tx, project, declared, last, partition)
    conversions = _of_conversions(project, declared, holding, partition)
    rest = conversions or _of_units(declared, holding, partition)
    if isinstance(declared, Source):
        types = _of_types(declared, holding, held=state == "held" and not is_offered)
        rest += _of_declarations(project, declared, known.drift.get(place, ()), last) + types
        rest += _of_rejection(declared, state, reason)
    return emptied, keys + rest


def _of_declarations(
    project: Project, source: Source, changes: Iterable[DriftRow], last: Attempt
) -> str:
    """Return the choice to declare what values are, or how files are written, as drift asks."""
    items = [
        item
        for row in changes
        if (row.epoch, row.n) == (last.epoch, last.n)
        for item in msgspec.json.decode(row.evidence, type=list[str])
    ]
    hints = list(dict.fromkeys(item for item in items if "declare " in item))
    types = [
        item.removeprefix("declare ").removesuffix(IN_CONTRACT)
        for item in hints
        if item.endswith(IN_CONTRACT)
    ]
    if not types:
        return f", or {hints[0]} in {source.place.file}" if hints else ""
    contract = project.contracts.get(source.contract or source.name)
    where = (
        f"a contract ({command_line('contract', 'infer', source.name, '--write')} begins it)"
        if contract is None
        else contract.place.file
    )
    return f", or declare {listed(types, NAMED_MAX)} in {where} and apply it"


def _of_rejection(source: Source, state: str, reason: str | None) -> str:
    """Return the choice to declare what a reader asks for that can't read a file without it."""
    asked = state == "rejected" and _DECLARATION.search(reason or "")
    return f", or declare {asked[1]} in {source.place.file} and apply it" if asked else ""


def _of_types(source: Source, holding: Sequence[FactRow], *, held: bool) -> str:
    """Return the choice for values of another type, if no NULL can stand for them: then `held`."""
    if not held or not any(
        row.kind == "type_change" or row.detail.startswith("nested") for row in holding
    ):
        return ""
    return f", or, if the new type stays, declare a source beside {source.name} that reads it"


def _converted_columns(
    project: Project, node: Source | Asset, holding: Sequence[FactRow], partition: str
) -> list[tuple[ContractColumn, str]]:
    """Return the converted columns that a delivery is held for, each with its conversion."""
    contract = (
        project.contracts.get(node.contract or node.name) if isinstance(node, Source) else None
    )
    if contract is None:
        return []
    held_columns = {row.column for row in holding}
    held_columns |= {
        match[1] for row in holding if (match := _FRACTIONS.search(plain(row.observed))) is not None
    }
    return [
        (column, text)
        for column in contract.columns
        if column.name in held_columns
        and (text := conversion_at(column, partition)) is not None
        and text.strip('"') != in_force(column, partition)
    ]


def _of_conversions(
    project: Project, node: Source | Asset, holding: Sequence[FactRow], partition: str
) -> str:
    """Return the choice to end the conversions of columns that a delivery is held for.

    The vendor may deliver the agreed values again, which only the conversion changes.
    """
    results = _converted_columns(project, node, holding, partition)
    if not results:
        return ""
    names = ", ".join(column.name for column, _ in results)
    texts = ", ".join(
        f"{text}, {column.place.file}:{column.place.line}" if column.place is not None else text
        for column, text in results
    )
    maps = [
        word
        for column, _ in results
        for word in ("--map", f"{column.name}={in_force(column, partition)}")
    ]
    command = command_line(
        "contract", "accept", partition_argument(node.name, partition), *maps, "--as-is"
    )
    need, them = ("needs", "it") if len(results) == 1 else ("need", "them")
    return f", or, if {names} {need} no conversion any more ({texts}), end {them} ({command})"


def _emptied_columns(holding: Sequence[FactRow]) -> tuple[str, ...]:
    """Return the columns whose values become NULL if a person accepts the data."""
    null = [
        f"{row.column} (where it isn't {row.expected})"
        for row in holding
        if row.kind == "type_change" and row.column
    ]
    null += [
        row.column for row in holding if (row.kind, row.detail) == ("schema_change", "dropped")
    ]
    return tuple(null)


def _emptied(columns: Iterable[str]) -> str:
    """Return what readers see in these columns if a person accepts the data, after that choice."""
    names = sorted(set(columns))
    return f": readers then see NULL in {listed(names, NAMED_MAX)}" if names else ""


def _of_units(node: Source | Asset, rows: Sequence[FactRow], partition: str) -> str:
    """Return the choice to convert the columns of a held delivery.

    Empty if it is also held otherwise.
    """
    units = {
        row.column: match for row in rows if (match := _UNIT.fullmatch(row.detail)) is not None
    }
    if not isinstance(node, Source) or not units or len(units) < len(rows):
        return ""
    words: list[str] = []
    for column, match in units.items():
        factor = float(match[2]) if match[1] == "×" else 1 / float(match[2])
        converted = conversion(
            column, [Differs(kind=ValueDifferenceKind.SCALE, text="", factor=factor)]
        )
        words += ["--map", f"{column}={column}", "--convert", converted or column]
    command = command_line("contract", "accept", partition_argument(node.name, partition), *words)
    names, are, them = (
        (", ".join(units), "is", "it") if len(units) == 1 else (", ".join(units), "are", "them")
    )
    return f", or, if {names} {are} in another unit, convert {them} ({command})"


def _of_keys(
    tx: Transaction, project: Project, node: Source | Asset, last: Attempt, partition: str
) -> str:
    """Return who adds keys that a `references` check missed, and when the check runs again."""
    references = {
        check.name: str(check.arguments["to"])
        for check in node.checks
        if check.kind == "references"
    }
    outcomes = quality.checks_of_attempt(tx, last.epoch, last.n) if references else ()
    failed = {
        outcome.name
        for outcome in outcomes
        if outcome.partition == partition
        and outcome.outcome == "failed"
        and outcome.severity == "blocking"
        and outcome.kind == "references"
    }
    to = next((to for name, to in references.items() if name in failed), None)
    other = None if to is None else project.source_or_asset(to.partition(".")[0])
    if other is None:
        return ""
    request, again = (
        f"; or, if {to} lacks keys, ask {other.owner} for them",
        f"checked again as soon as {other.name} has other rows",
    )
    every = read_again_every(tx, other) if isinstance(other, Source) else None
    if every is None:
        return f"{request}: it is {again}"
    run = command_line("run", other.name, "--again", "--reason", "TEXT")
    return f"{request}, then {run} ({other.name} is read every {every} by itself): it is {again}"
