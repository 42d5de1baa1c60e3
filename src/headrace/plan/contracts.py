"""Contracts of assets: changes between two versions, required version, and breaks. Pure."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping

from headrace.model import Asset, Contract, ContractColumn, Problem, Project, Value
from headrace.plan.compiled import Columns

# Changes between two versions of a contract for its readers, and the semantic version that they
# require.

_VERSION = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:[-+].*)?")
_WIDER = {
    "TINYINT": {"SMALLINT", "INTEGER", "BIGINT"},
    "SMALLINT": {"INTEGER", "BIGINT"},
    "INTEGER": {"BIGINT", "DOUBLE"},
    "FLOAT": {"DOUBLE"},
    "DATE": {"TIMESTAMP"},
}


class VersionLevel(enum.IntEnum):
    """The part of a semantic version that a change increments."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


class ContractChange(Value, kw_only=True):
    """One difference between two contracts; `said` is a clause for users.

    A removed or narrowed column breaks its readers.
    """

    kind: str
    column: str
    to: str | None = None
    level: VersionLevel
    said: str


def contract_changes(was: Contract, now: Contract) -> list[ContractChange]:
    """Return the differences between two contracts, columns first."""
    return [*_columns(was, now), *_rules(was, now), *_service(was, now)]


def level_of(changes: list[ContractChange]) -> VersionLevel:
    """Return the highest level among the changes."""
    return max((change.level for change in changes), default=VersionLevel.NONE)


def version_level_moved(was: str, now: str) -> VersionLevel:
    """Return which part of a version increased."""
    old, new = _parts(was), _parts(now)
    if old is None or new is None:
        return VersionLevel.MAJOR if was != now else VersionLevel.NONE
    for level, before, after in zip(
        (VersionLevel.MAJOR, VersionLevel.MINOR, VersionLevel.PATCH), old, new, strict=True
    ):
        if after != before:
            return level if after > before else VersionLevel.NONE
    return VersionLevel.NONE


def next_version(version: str, level: VersionLevel) -> str:
    """Return the version after a change of that level; unchanged if it has no numbers."""
    parts = _parts(version)
    if parts is None or level is VersionLevel.NONE:
        return version
    major, minor, patch = parts
    return {
        VersionLevel.MAJOR: f"{major + 1}.0.0",
        VersionLevel.MINOR: f"{major}.{minor + 1}.0",
        VersionLevel.PATCH: f"{major}.{minor}.{patch + 1}",
    }[level]


def _parts(version: str) -> tuple[int, int, int] | None:
    match = _VERSION.fullmatch(version.strip())
    return None if match is None else (int(match[1]), int(match[2] or 0), int(match[3] or 0))


def _columns(was: Contract, now: Contract) -> Iterator[ContractChange]:
    before, after = (
        {column.name: column for column in contract.columns} for contract in (was, now)
    )
    for name, column in before.items():
        if name not in after:
            yield ContractChange(
                kind="dropped", column=name, level=VersionLevel.MAJOR, said=f"{name} is gone"
            )
        else:
            yield from _column(column, after[name])
    for name in after:
        if name not in before:
            yield ContractChange(
                kind="added", column=name, level=VersionLevel.MINOR, said=f"{name} is new"
            )


def _column(  # complexipy: ignore (one rule after the other, in the order in which they are shown)
    was: ContractColumn, now: ContractColumn
) -> Iterator[ContractChange]:
    name = was.name
    if was.type != now.type and was.type is not None:
        level = VersionLevel.MINOR if now.type in _WIDER.get(was.type, ()) else VersionLevel.MAJOR
        yield ContractChange(
            kind="type",
            column=name,
            to=now.type,
            level=level,
            said=f"{name} is {now.type or 'any type'}, was {was.type}",
        )
    if (was.required or was.primary_key) and not (now.required or now.primary_key):
        yield ContractChange(
            kind="nullability", column=name, level=VersionLevel.MAJOR, said=f"{name} may be empty"
        )
    if (was.unique and not now.unique) or (was.primary_key and not now.primary_key):
        yield ContractChange(
            kind="keys", column=name, level=VersionLevel.MAJOR, said=f"{name} needn't be unique"
        )
    stricter = (
        (now.required and not was.required)
        or (now.unique and not was.unique)
        or (now.primary_key and not was.primary_key)
    )
    if stricter:
        yield ContractChange(
            kind="stricter", column=name, level=VersionLevel.MINOR, said=f"{name} promises more"
        )
    if was.classification != now.classification:
        text = (
            f"{name} is classified {now.classification or 'as nothing'}, was"
            f" {was.classification or 'as nothing'}"
        )
        yield ContractChange(
            kind="classification",
            column=name,
            to=now.classification,
            level=VersionLevel.MINOR,
            said=text,
        )
    if was.names != now.names:
        yield ContractChange(
            kind="names",
            column=name,
            level=VersionLevel.PATCH,
            said=f"files have another name for {name}",
        )
    if was.conversions != now.conversions:
        text = f"files' values of {name} are converted otherwise"
        yield ContractChange(kind="names", column=name, level=VersionLevel.PATCH, said=text)


def _rules(was: Contract, now: Contract) -> Iterator[ContractChange]:
    before, after = (
        {check.name: (check.kind, check.arguments, check.severity) for check in contract.checks}
        for contract in (was, now)
    )
    for name in sorted(before.keys() - after.keys()):
        yield ContractChange(
            kind="rule", column="", level=VersionLevel.MAJOR, said=f"the rule {name} is gone"
        )
    for name in sorted(after.keys() - before.keys()):
        yield ContractChange(
            kind="rule", column="", level=VersionLevel.MINOR, said=f"the rule {name} is new"
        )
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield ContractChange(
                kind="rule",
                column="",
                level=VersionLevel.MINOR,
                said=f"the rule {name} changed",
            )


def _service(was: Contract, now: Contract) -> Iterator[ContractChange]:
    before, after = (
        {level.property: f"{level.value} {level.unit}".strip() for level in each.service}
        for each in (was, now)
    )
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            text = (
                f"{name} is {after.get(name) or 'not promised'}, was"
                f" {before.get(name) or 'not promised'}"
            )
            yield ContractChange(
                kind="service",
                column="",
                level=VersionLevel.MAJOR if name not in after else VersionLevel.MINOR,
                said=text,
            )


# The asset's output must match its contract. A break needs a new major version that names the
# consumers it breaks (`headrace.breaks`).

Users = Callable[[str, list[str]], tuple[list[str], list[str]]]
"""(node, columns) → the assets and the consumers that a change of these columns affects."""
_FAMILIES = {
    "DOUBLE": "number",
    "FLOAT": "number",
    "DECIMAL": "number",
    "TIMESTAMP": "moment",
    "TIMESTAMP WITH TIME ZONE": "moment",
    "TIMESTAMP_S": "moment",
    "TIMESTAMP_MS": "moment",
    "TIMESTAMP_NS": "moment",
}


class ContractBreak(Value, kw_only=True):
    """A contract that removes a promise without a declaration of the break.

    `hint` is what to write.
    """

    asset: str
    said: str
    hint: str
    file: str


def not_as_promised(
    asset: Asset, columns: Columns | None, names: tuple[str, ...] | None, project: Project
) -> Iterator[Problem]:
    """Yield contract columns that the asset doesn't output, or outputs with another type.

    Only what is known before the asset runs is checked.
    """
    contract = project.contracts.get(asset.contract or "")
    if contract is None or names is None:
        return
    output_names = {name.lower(): name for name in names}
    types = {name.lower(): kind for name, kind in columns or ()}
    for column in contract.columns:
        if column.name.lower() not in output_names:
            yield _problem(
                contract,
                f"the contract of `{asset.name}` promises `{column.name}`, which its code doesn't"
                " return",
            )
        elif column.type and not types_match(
            column.type, types.get(column.name.lower(), column.type)
        ):
            gives = types[column.name.lower()]
            yield _problem(
                contract,
                f"the contract of `{asset.name}` promises `{column.name}` as {column.type}, its"
                f" code returns {gives}",
            )


def _problem(contract: Contract, message: str) -> Problem:
    hint = "give it in the asset code, or take it out of the contract with a new major version"
    return Problem(code="contract_broken", message=message, hint=hint, place=contract.place)


def types_match(promised: str, actual: str) -> bool:
    """Return whether a type fits the contract's: integers of any width match, decimals are numbers.

    An unknown type matches every type.
    """
    return actual.upper() in ("UNKNOWN", "NULL") or _family(promised) == _family(actual)


def _family(kind: str) -> str:
    plain = re.sub(r"\(.*", "", kind.upper()).strip()
    return (
        "integer"
        if plain.endswith("INT") or plain in ("INTEGER", "UINTEGER")
        else _FAMILIES.get(plain, plain)
    )


def contract_breaks(old: Project | None, new: Project, users: Users) -> list[ContractBreak]:
    """Return the breaks that prevent contracts of assets from being applied."""
    breaks = []
    for asset in new.assets.values():
        was, now = _contract(old, asset.name), _contract(new, asset.name)
        if (
            was is not None
            and now is not None
            and (contract_break := _breaks_of(asset.name, was, now, users)) is not None
        ):
            breaks.append(contract_break)
    return breaks


def _contract(project: Project | None, name: str) -> Contract | None:
    asset = project.assets.get(name) if project else None
    return project.contracts.get(asset.contract or "") if project and asset else None


def _breaks_of(name: str, was: Contract, now: Contract, users: Users) -> ContractBreak | None:
    changes = contract_changes(was, now)
    if level_of(changes) < VersionLevel.MAJOR:
        return None
    taken_back = [change for change in changes if change.level is VersionLevel.MAJOR]
    consumers = _consumers(name, taken_back, users)
    text = "; ".join(change.said for change in taken_back[:5])
    if version_level_moved(was.version, now.version) < VersionLevel.MAJOR:
        whom = f", and breaks {', '.join(consumers)}" if consumers else ""
        return ContractBreak(
            asset=name,
            said=f"the contract of `{name}` takes back what {was.version} promised ({text}){whom}",
            hint=(
                "write version:"
                f" {next_version(was.version, VersionLevel.MAJOR)}{_naming(consumers, now)}"
            ),
            file=now.place.file,
        )
    unnamed = [consumer for consumer in consumers if consumer not in now.breaks]
    if not unnamed:
        return None
    text = (
        f"the contract of `{name}` {now.version} breaks {', '.join(unnamed)} without naming them"
        f" ({text})"
    )
    return ContractBreak(
        asset=name,
        said=text,
        hint=_naming(consumers, now).removeprefix(", and "),
        file=now.place.file,
    )


def _consumers(name: str, changes: list[ContractChange], users: Users) -> list[str]:
    columns: Mapping[str, None] = dict.fromkeys(
        change.column for change in changes if change.column
    )
    return users(name, list(columns))[1] if columns else []


def _naming(consumers: list[str], now: Contract) -> str:
    missing = [consumer for consumer in consumers if consumer not in now.breaks]
    listed = ", ".join(dict.fromkeys([*now.breaks, *consumers]))
    return (
        f", and customProperties: [{{property: headrace.breaks, value: [{listed}]}}]"
        if missing
        else ""
    )
