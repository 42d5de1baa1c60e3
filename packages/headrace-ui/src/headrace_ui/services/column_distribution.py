"""The distribution of a column's values over time, from the stored profiles of partitions.

Nothing is read from the lake. A profile has at most five percentiles and at most
`metrics.CATEGORIES_MAX` frequent values of a column.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from headrace.checks.metrics import HISTORY_PARTITIONS, Metrics
from headrace.extension import READ, Asset, ProjectSession, Source, command
from headrace.model.intervals import zone
from headrace.model.partitions import SEPARATOR
from headrace.privacy.masking import column_limits
from headrace.project import targets
from headrace_ui.queries import history as stored
from headrace_ui.queries.history import StoredProfile
from headrace_ui.responses.distributions import DistributionPointRow, DistributionResponse
from headrace_ui.services.node_history import (
    LAST,
    chosen,
    chosen_key,
    measured_from,
    reported_since,
    visible_before,
)
from headrace_ui.views.usual_distributions import UsualDistribution
from headrace_ui.views.usual_values import MeasuredPartition, UsualRange

VALUES_MAX = 8
"""The maximum number of values whose shares are returned, by share in all the partitions."""
MEDIAN = 2
"""The place of the median in the percentiles of a profile."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - stored times are local and without a zone


class DistributionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The column, the second part of the partitions' keys, and the number of partitions.

    With `until`, they are the newest ones up to this interval.
    """

    column: str
    key: str | None = None
    until: str | None = None
    limit: Annotated[int, Meta(ge=2, le=400)] = 60


class ProfiledValues(msgspec.Struct, frozen=True):
    """What the profile of a column says of its values; infinite numbers are stored as null."""

    rows: int
    nulls: int
    minimum: str | None = None
    maximum: str | None = None
    sampled: int | None = None
    quantiles: tuple[float | None, ...] | None = None
    time_quantiles: tuple[int, ...] | None = None
    between: tuple[int, int] | None = None
    lengths: tuple[float, ...] | None = None
    top: tuple[tuple[str, int], ...] = ()
    categorical: bool = False


class _Partition(NamedTuple):
    """A partition, and the column's profile; None if there is no profile, or not of the column."""

    stored: StoredProfile
    column: ProfiledValues | None


@command(
    "distribution", READ, of="name", http="GET /assets/{name}/distribution column_distribution"
)
def column_distribution(
    session: ProjectSession, name: str, query: DistributionQuery
) -> DistributionResponse:
    """Return how a column's values were distributed in each of the newest partitions.

    The values of classified columns are shown to nobody. Raise UsageError for an unknown node,
    column or key.
    """
    node_name, _ = targets.target(name, session.project())
    node = session.project().source_or_asset(node_name)
    assert node is not None
    read = _read(session, node, query)
    profiles = read.profiles
    decoded = [_columns(item.columns) for item in profiles]
    columns = {name: None for item in decoded for name in item}
    if query.until is not None and query.column not in columns:
        columns |= dict.fromkeys(_newest_columns(session, node, query))
    column = _visible_column(session, node, list(columns), query.column)
    timezone = node.timezone or session.project().settings.timezone
    response = DistributionResponse(
        now=session.now(),
        node=node.name,
        column=column,
        key=read.key,
        timezone=None,
        classified=_is_classified(session, node, column),
        kind="none",
        values=[],
        values_left_out=0,
        points=[],
    )
    if response.classified:
        return response
    parts = _parts(profiles, decoded, column)
    known = [part.column for part in parts if part.column is not None]
    kind = _kind(known)
    values = _frequent(known)
    listed_values = values[:VALUES_MAX]
    odd = _by_partition(read.anomalies, column)
    earlier = _parts(read.earlier, [_columns(item.columns) for item in read.earlier], column)
    usual = _usual(session, node, column, read, [*earlier, *parts])
    expected = _expected(usual, kind, listed_values)
    return msgspec.structs.replace(
        response,
        kind=kind,
        timezone=timezone if any(_has_zone(item) for item in known) else None,
        values=listed_values,
        values_left_out=len(values) - len(listed_values),
        points=[
            expected.added(
                _point(part, kind, listed_values, timezone, odd.get(part.stored.partition, []))
            )
            for part in parts
        ],
    )


class _Read(msgspec.Struct, frozen=True):
    """The chosen key, the newest profiles, oldest first, and what is compared with them."""

    key: str | None = None
    profiles: list[StoredProfile] = []
    anomalies: set[tuple[str, str, str]] = set()
    earlier: list[StoredProfile] = []
    """Those before the first one."""
    measured: dict[str, Metrics] = {}
    """Partition → its newest metrics, from the first profile on."""
    visible: list[MeasuredPartition] = []


def _read(session: ProjectSession, node: Source | Asset, query: DistributionQuery) -> _Read:
    if session.store is None:
        return _Read()
    with session.store.read() as tx:
        key = chosen_key(tx, node.name, query.key)[0]
        ending = "" if key is None else f"{SEPARATOR}{key}"
        last = LAST if query.until is None else f"{query.until}{SEPARATOR}{LAST}"
        limit = query.limit + HISTORY_PARTITIONS
        profiles = stored.newest_profiles(tx, node.name, last, ending, limit)
        if not profiles:
            return _Read(key)
        earlier, profiles = profiles[: -query.limit], profiles[-query.limit :]
        first = profiles[0].partition
        visible = visible_before(tx, node.name, f"{query.until or LAST}{ending}", limit)
        return _Read(
            key,
            profiles,
            reported_since(tx, node.name, first, visible),
            earlier,
            measured_from(tx, node.name, first, ending),
            visible,
        )


def _parts(
    profiles: Sequence[StoredProfile], decoded: Sequence[Mapping[str, msgspec.Raw]], column: str
) -> list[_Partition]:
    return [
        _Partition(item, _VALUES.decode(values[column]) if column in values else None)
        for item, values in zip(profiles, decoded, strict=True)
    ]


def _usual(
    session: ProjectSession,
    node: Source | Asset,
    column: str,
    read: _Read,
    parts: Sequence[_Partition],
) -> UsualDistribution:
    listed = {item.partition for item in read.profiles}
    medians = {}
    for stored_profile, values in parts:
        quantiles = None if values is None else values.quantiles
        median = None if quantiles is None else quantiles[MEDIAN]
        if median is not None:
            medians[stored_profile.partition] = median
    return UsualDistribution(
        column=column,
        grain=node.partition.grain,
        sources=len(session.project().sources),
        measured={name: item for name, item in read.measured.items() if name in listed},
        visible=read.visible,
        reported=read.anomalies,
        medians=medians,
        held=[part.stored.partition for part in parts if not part.stored.published],
    )


def _expected(usual: UsualDistribution, kind: str, values: Sequence[str]) -> _Expected:
    medians = usual.median_ranges() if kind == "numbers" else {}
    return _Expected(medians, [usual.shares(value) for value in values])


class _Expected(NamedTuple):
    """The expected ranges by partition: of the median, and of the share of each value."""

    medians: Mapping[str, UsualRange]
    shares: Sequence[Mapping[str, UsualRange]]

    def added(self, point: DistributionPointRow) -> DistributionPointRow:
        """Return the point with what was expected of it."""
        median = self.medians.get(point.partition) if point.percentiles is not None else None
        shares = None
        if point.shares is not None:
            ranges = [ranges.get(point.partition) for ranges in self.shares]
            shares = [None if between is None else list(between) for between in ranges]
        return msgspec.structs.replace(
            point,
            median_between=None if median is None else list(median),
            shares_between=shares,
        )


def _newest_columns(
    session: ProjectSession, node: Source | Asset, query: DistributionQuery
) -> list[str]:
    """Return the columns of the newest profiles, which earlier partitions may not have yet."""
    read = _read(session, node, msgspec.structs.replace(query, until=None))
    return [name for item in read.profiles for name in _columns(item.columns)]


def _visible_column(
    session: ProjectSession, node: Source | Asset, columns: Sequence[str], asked: str
) -> str:
    limits = column_limits(session, node.name, past=True)
    hidden = {*limits.names, *limits.left_out_of(columns)}
    visible = [name for name in columns if name.lower() not in hidden]
    refusal = f"{node.name} has no column {asked[:60]!r} with a recorded distribution"
    return chosen(asked.lower(), visible, refusal)


def _is_classified(session: ProjectSession, node: Source | Asset, column: str) -> bool:
    limits = column_limits(session, node.name, over_network=True, past=True)
    return column.lower() in {*limits.names, *limits.left_out_of([column])}


# Reading profiles
# --------------------------------------------------------------------------------------------------


def _columns(encoded: str | None) -> dict[str, msgspec.Raw]:
    return {} if encoded is None else _COLUMNS.decode(encoded)


_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUES = msgspec.json.Decoder(ProfiledValues)


def _kind(known: Sequence[ProfiledValues]) -> str:
    """Return the kind of the newest partition that has values."""
    return next((kind for item in reversed(known) if (kind := _kind_of(item)) != "none"), "none")


def _kind_of(item: ProfiledValues) -> str:
    if item.quantiles is not None:
        return "numbers"
    if item.lengths is not None or item.top:
        return "values"
    if item.time_quantiles or item.between or _time(item.minimum, "UTC") is not None:
        return "times"
    return "none"


def _by_partition(anomalies: Iterable[tuple[str, str, str]], column: str) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for partition, name, kind in sorted(anomalies):
        if name == column.lower():
            result.setdefault(partition, []).append(kind)
    return result


# Points
# --------------------------------------------------------------------------------------------------


def _point(
    part: _Partition, kind: str, values: Sequence[str], timezone: str, anomalies: list[str]
) -> DistributionPointRow:
    item = part.column
    point = DistributionPointRow(
        partition=part.stored.partition,
        published=part.stored.published,
        recorded=item is not None,
        rows=None,
        nulls=None,
        sampled=None,
        least=None,
        greatest=None,
        percentiles=None,
        median_between=None,
        shares=None,
        shares_between=None,
        others=None,
        anomalies=anomalies,
    )
    if item is None:
        return point
    point = msgspec.structs.replace(point, rows=item.rows, nulls=item.nulls, sampled=item.sampled)
    if kind != "values" and _kind_of(item) == kind:
        bound: Callable[[str | None], float | str | None] = (
            _number if kind == "numbers" else lambda text: _time(text, timezone)
        )
        point = msgspec.structs.replace(
            point,
            least=bound(item.minimum),
            greatest=bound(item.maximum),
            percentiles=_percentiles(item),
        )
    shares = _shares(item)
    if shares is None or not values:
        return point
    listed = [shares.get(value, 0.0 if _is_complete(item) else None) for value in values]
    others = 1 - _null_share(item) - sum(share or 0.0 for share in listed)
    return msgspec.structs.replace(point, shares=listed, others=max(others, 0.0))


def _percentiles(item: ProfiledValues) -> list[float | str | None] | None:
    if item.quantiles is not None:
        return list(item.quantiles)
    if item.time_quantiles is not None:
        return [_local_text(_EPOCH + timedelta(minutes=at)) for at in item.time_quantiles]
    return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time(text: str | None, timezone: str) -> str | None:
    """Return a bound as local time; None for anything else, infinities and far years."""
    if text is None or text[4:5] != "-":
        return None
    try:
        bound = datetime.fromisoformat(text)
        local = bound.astimezone(zone(timezone)) if bound.tzinfo else bound
    except (ValueError, OverflowError):
        return None
    return _local_text(local.replace(tzinfo=None))


def _has_zone(item: ProfiledValues) -> bool:
    """Return whether the values are times with a zone, whose bounds are stored in UTC."""
    minimum = item.minimum or ""
    return _kind_of(item) == "times" and minimum.endswith("+00")


def _local_text(time: datetime) -> str:
    return time.isoformat(timespec="minutes")


# Shares
# --------------------------------------------------------------------------------------------------


def _frequent(known: Iterable[ProfiledValues]) -> list[str]:
    """Return the recorded values, by the sum of their shares; none of columns like keys."""
    totals: Counter[str] = Counter()
    for item in known:
        if item.quantiles is None or item.categorical:
            totals.update(_shares(item) or {})
    return sorted(totals, key=lambda value: (-totals[value], value))


def _shares(item: ProfiledValues) -> dict[str, float] | None:
    """Return the share of the rows of each recorded value; None if the partition has no rows."""
    if not item.rows:
        return None
    counted = sum(count for _, count in item.top)
    if _is_complete(item):  # a sample then has no other values
        scale = (1 - _null_share(item)) / counted if counted else 0.0
    else:
        scale = 1 / (item.rows if item.sampled is None else item.sampled)
    shares: dict[str, float] = {}
    for value, count in item.top:  # long values are stored shortened, and may then be equal
        shares[value] = shares.get(value, 0.0) + count * scale
    return shares


def _is_complete(item: ProfiledValues) -> bool:
    counted = sum(count for _, count in item.top)
    return item.categorical or (item.sampled is None and counted == item.rows - item.nulls)


def _null_share(item: ProfiledValues) -> float:
    return item.nulls / item.rows if item.rows else 0.0
