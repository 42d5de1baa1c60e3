"""What is done about what is odd: as its size says, or as `on_anomaly` of the node or the column does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from headrace.quality.anomalies.facts import NEVER
from headrace.quality.facts import Fact, FactSeverity

IGNORE = "ignore"
_TIMES = re.compile(r"× (\d[\d,]*(?:\.\d+)?)")
"""By how many times there are more rows, or fewer, than expected."""
_OF_VALUES = ("null_spike", "distribution_shift", "format_change")
_HOLDING = ("volume_anomaly", "null_spike", "duplicate_rows")


def decided(facts: Iterable[Fact], on_anomaly: str | None, of_columns: Mapping[str, str]) -> Iterator[Fact]:
    """The facts with the severity that the declaration gives them; those to be ignored are gone."""
    columns = {name.lower(): policy for name, policy in of_columns.items()}
    for fact in facts:
        policy = columns.get(fact.column.lower(), on_anomaly) if fact.column else on_anomaly
        if policy == IGNORE:
            continue
        yield fact if policy is None else msgspec.structs.replace(fact, severity=FactSeverity(policy))


def milder(
    facts: Iterable[Fact], unusual: Collection[str], emptied: Collection[tuple[str, str]] = (), more_rows: Collection[str] | None = None
) -> Iterator[Fact]:  # fmt: skip
    """Of something computed: rows, nulls and duplicates hold it by themselves, but not where what it was made of (partitions `unusual`)
    is unlike its own history, and was published: then this follows from that. Nulls that never were are no more of what comes and goes:
    they are keys that find nothing, unless the column is made of one that was `emptied` above (partition, own column). More rows than
    ever, computed by other code than before, follow from the partitions `more_rows` only; None: the code is the same."""
    for fact in facts:
        above = unusual if more_rows is None or not _is_more(fact) else more_rows
        follows = any(_within(key, fact.partition) for key in above)
        if fact.detail.startswith(NEVER):
            follows = any(column == fact.column and _within(key, fact.partition) for key, column in emptied)
        held = fact.severity is FactSeverity.HOLD and (follows or fact.kind not in _HOLDING)
        yield msgspec.structs.replace(fact, severity=FactSeverity.WARN) if held else fact


def _is_more(fact: Fact) -> bool:
    """Whether it says that there are more rows than there should be."""
    if fact.kind == "duplicate_rows":
        return True
    times = _TIMES.match(fact.detail) if fact.kind == "volume_anomaly" else None
    return times is not None and float(times[1].replace(",", "")) > 1


def unread(facts: Iterable[Fact], used: Collection[str] | None) -> Iterator[Fact]:
    """Facts about the values of columns that nothing downstream uses warn: a free-text column that nobody reads holds no delivery.
    Rows that are missing or there twice are everybody's, whichever column shows it.
    `used` are the columns in use, in lower case; None where all may be."""
    for fact in facts:
        idle = used is not None and fact.kind in _OF_VALUES and fact.column.lower() not in used
        yield msgspec.structs.replace(fact, severity=FactSeverity.WARN) if idle and fact.severity is FactSeverity.HOLD else fact


def _within(key: str, other: str) -> bool:
    """Whether one interval lies in the other, either way."""
    return key.startswith(other) or other.startswith(key)


def summed_up(facts: Iterable[Fact], severity: FactSeverity, *, named: bool) -> str:
    """One clause for people: the worst of that severity, and how many more there are. `named`: with the partition of each."""
    of_kind = [fact for fact in facts if fact.severity is severity]
    said = []
    for partition in dict.fromkeys(fact.partition for fact in of_kind):
        own = [fact for fact in of_kind if fact.partition == partition]
        more = f" (and {len(own) - 2} more)" if len(own) > 2 else ""
        said.append(f"{f'{partition}: ' if named else ''}{'; '.join(_clause(fact) for fact in own[:2])}{more}")
    return "; ".join(said)


def _clause(fact: Fact) -> str:
    where = f"{fact.column}: " if fact.column else ""
    detail = f" ({fact.detail})" if fact.detail else ""
    return f"{fact.kind}: {where}{fact.observed}, expected {fact.expected}{detail}"
