"""Two versions of a contract: what changed for who relies on it, and which version that takes (semantic versioning). Pure."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator

from headrace.model import Contract, ContractColumn, Value

_VERSION = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:[-+].*)?")
_WIDER = {
    "TINYINT": {"SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}, "SMALLINT": {"INTEGER", "BIGINT", "HUGEINT"},
    "INTEGER": {"BIGINT", "HUGEINT", "DOUBLE"}, "BIGINT": {"HUGEINT"}, "FLOAT": {"DOUBLE"}, "DATE": {"TIMESTAMP"},
}  # fmt: skip


class VersionLevel(enum.IntEnum):
    """Which part of a version a change takes."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


class ContractChange(Value, kw_only=True):
    """One difference of two contracts. `said` is a clause for people; a column that is gone or narrower breaks who relies on it."""

    kind: str
    column: str
    to: str | None = None
    level: VersionLevel
    said: str


def contract_changes(was: Contract, now: Contract) -> list[ContractChange]:
    """What a contract promises otherwise than it did, columns first."""
    return [*_columns(was, now), *_rules(was, now), *_service(was, now)]


def level_of(changes: list[ContractChange]) -> VersionLevel:
    """The part of the version that they take together."""
    return max((change.level for change in changes), default=VersionLevel.NONE)


def moved(was: str, now: str) -> VersionLevel:
    """Which part of a version grew."""
    old, new = _parts(was), _parts(now)
    if old is None or new is None:
        return VersionLevel.MAJOR if was != now else VersionLevel.NONE
    for level, before, after in zip((VersionLevel.MAJOR, VersionLevel.MINOR, VersionLevel.PATCH), old, new, strict=True):
        if after != before:
            return level if after > before else VersionLevel.NONE
    return VersionLevel.NONE


def next_version(version: str, level: VersionLevel) -> str:
    """The version that a change of that level makes of another one; itself where it has no numbers."""
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
    before, after = ({column.name: column for column in contract.columns} for contract in (was, now))
    for name, column in before.items():
        if name not in after:
            yield ContractChange(kind="dropped", column=name, level=VersionLevel.MAJOR, said=f"{name} is gone")
        else:
            yield from _column(column, after[name])
    for name in after:
        if name not in before:
            yield ContractChange(kind="added", column=name, level=VersionLevel.MINOR, said=f"{name} is new")


def _column(was: ContractColumn, now: ContractColumn) -> Iterator[ContractChange]:
    name = was.name
    if was.type != now.type and was.type is not None:
        level = VersionLevel.MINOR if now.type in _WIDER.get(was.type, ()) else VersionLevel.MAJOR
        yield ContractChange(kind="type", column=name, to=now.type, level=level, said=f"{name} is {now.type or 'any type'}, was {was.type}")
    if (was.required or was.primary_key) and not (now.required or now.primary_key):
        yield ContractChange(kind="nullability", column=name, level=VersionLevel.MAJOR, said=f"{name} may be empty")
    if (was.unique and not now.unique) or (was.primary_key and not now.primary_key):
        yield ContractChange(kind="keys", column=name, level=VersionLevel.MAJOR, said=f"{name} needn't be unique")
    stricter = (now.required and not was.required) or (now.unique and not was.unique) or (now.primary_key and not was.primary_key)
    if stricter:
        yield ContractChange(kind="stricter", column=name, level=VersionLevel.MINOR, said=f"{name} promises more")
    if was.classification != now.classification:
        text = f"{name} is classified {now.classification or 'as nothing'}, was {was.classification or 'as nothing'}"
        yield ContractChange(kind="classification", column=name, to=now.classification, level=VersionLevel.MINOR, said=text)
    if was.names != now.names:
        yield ContractChange(kind="names", column=name, level=VersionLevel.PATCH, said=f"files have another name for {name}")
    if was.conversions != now.conversions:
        text = f"files' values of {name} are converted otherwise"
        yield ContractChange(kind="names", column=name, level=VersionLevel.PATCH, said=text)


def _rules(was: Contract, now: Contract) -> Iterator[ContractChange]:
    before, after = ({check.name: (check.kind, check.arguments, check.severity) for check in contract.checks} for contract in (was, now))
    for name in sorted(before.keys() - after.keys()):
        yield ContractChange(kind="rule", column="", level=VersionLevel.MAJOR, said=f"the rule {name} is gone")
    for name in sorted(after.keys() - before.keys()):
        yield ContractChange(kind="rule", column="", level=VersionLevel.MINOR, said=f"the rule {name} is new")
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield ContractChange(kind="rule", column="", level=VersionLevel.MINOR, said=f"the rule {name} says something else")


def _service(was: Contract, now: Contract) -> Iterator[ContractChange]:
    before, after = ({level.property: f"{level.value} {level.unit}".strip() for level in each.service} for each in (was, now))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            text = f"{name} is {after.get(name) or 'not promised'}, was {before.get(name) or 'not promised'}"
            yield ContractChange(
                kind="service", column="", level=VersionLevel.MAJOR if name not in after else VersionLevel.MINOR, said=text
            )
