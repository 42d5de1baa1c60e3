"""Partition keys: the partition mapping, the order of keys, and keys on the command line.

Nodes partitioned by time and key have keys such as `2013-02-11/EMEA`: the time key, a slash (no
time key contains one), and the data key, which may contain any text. All functions are pure.
"""

from __future__ import annotations

import functools
import math
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache

from headrace.model.errors import UsageError
from headrace.model.intervals import (
    EPOCH,
    GRAINS,
    bounds_us,
    key_at_us,
    keys_between,
    next_key,
    previous_key,
    start_us,
)
from headrace.model.nodes import Grain, InputMode, InputSpec, PartitionSpec, Value
from headrace.model.times import Duration

# The partition mapping: the upstream partitions that a partition needs, and the inverse
# (SEMANTICS §2).

SEPARATOR = "/"
"""Separates the time key from the data key."""
_NOTHING = Duration(days=0, seconds=0)
_KEYS_CACHED_MAX = 2_048
"""Cache size: most nodes share their partitioning, and calendar arithmetic is slow."""


class Required(Value, kw_only=True):
    """Required keys of an input, in time order.

    None for references and inputs that are read as a whole: the newest publication of all
    partitions.
    """

    keys: tuple[str, ...] | None


class _Pair(Value, kw_only=True):
    """An output and an input that are both partitioned by time."""

    output: Grain
    output_zone: str
    input: Grain
    input_zone: str
    mode: InputMode
    lookback: Duration

    @property
    def coarser(self) -> bool:
        """Whether the input's partitions are longer than the output's."""
        return GRAINS.index(self.input) > GRAINS.index(self.output)


Seen = Callable[[str], Collection[str]]
"""Returns the known data keys of a time key, which is empty for data not partitioned by time."""


def required(
    output: PartitionSpec,
    output_timezone: str,
    key: str,
    input: PartitionSpec,  # noqa: A002 - what it is called everywhere else
    input_timezone: str,
    spec: InputSpec,
    seen: Seen | None = None,
) -> Required:
    """Return the upstream partitions that partition `key` of the output needs.

    `seen` returns the known data keys of the input, if they aren't fixed: all of them are required,
    and an interval without known keys is represented by its time key alone. Without `seen`, keys
    that aren't fixed can't be listed (`keys=None`). Raises UsageError if `key` isn't a key of the
    output.
    """
    if output.by_delivery or input.by_delivery:
        return _of_delivery(output, key, input, spec)
    if output.whole or input.whole or spec.mode is InputMode.ALL:
        return Required(keys=None)
    if output.grain is None and input.grain is not None:
        return Required(keys=None)
    listed = input.key is None or input.key == output.key or input.values is not None
    if not listed and (seen is None or input.grain is None):
        return Required(keys=None)
    time_key, data_key = split(key, output)
    times: tuple[str, ...] = ("",)
    if input.grain is not None and output.grain is not None:
        times = _times(
            _pair(output.grain, output_timezone, input.grain, input_timezone, spec), time_key
        )
    return Required(
        keys=tuple(
            item for time in times for item in _upstream(output, data_key, input, time, seen)
        )
    )


def _of_delivery(
    output: PartitionSpec, key: str, source: PartitionSpec, spec: InputSpec
) -> Required:
    if not (output.by_delivery and source.by_delivery) or spec.mode is InputMode.ALL:
        return Required(keys=None)
    if spec.mode is not InputMode.PREVIOUS:
        return Required(keys=(key,))
    before = int(key) - 1
    return Required(keys=(delivery_key(before),) if before > 0 else ())


def delivery_key(number: int) -> str:
    """Return the key of the `number`-th delivery of a node with one partition per delivery."""
    return f"{number:012}"


def _upstream(
    output: PartitionSpec, data_key: str, source: PartitionSpec, interval: str, seen: Seen | None
) -> Collection[str]:
    """Return the upstream partitions of one interval that a partition needs."""
    if source.key is None:
        return (interval,)
    if source.key == output.key:
        known = seen(interval) if seen is not None and source.values is None else ()
        return (_keyed(interval, data_key),) if not known or data_key in known else ()
    data_keys = (
        source.values if source.values is not None else seen(interval) if seen is not None else ()
    )
    return [_keyed(interval, data) for data in data_keys] or (interval,)


def dependents(  # complexipy: ignore (a case for each kind of partition)
    input_key: str,
    output: PartitionSpec,
    output_timezone: str,
    input: PartitionSpec,  # noqa: A002 - what it is called everywhere else
    input_timezone: str,
    spec: InputSpec,
    seen: Seen | None = None,
) -> tuple[str, ...] | None:
    """Return the downstream partitions that require partition `input_key`, in time order.

    Returns None if the input is a reference, or if the output's keys can't be derived from the
    input's. `seen` returns the known data keys of the output.
    """
    if output.by_delivery and input.by_delivery and spec.mode is not InputMode.ALL:
        following = delivery_key(int(input_key) + 1)
        return (following if spec.mode is InputMode.PREVIOUS else input_key,)
    if (
        output.whole
        or input.whole
        or output.by_delivery
        or input.by_delivery
        or spec.mode is InputMode.ALL
    ):
        every = input.by_delivery and output.grain is None and spec.mode is not InputMode.ALL
        return (WHOLE,) if output.whole else output.values if every else None
    time_key, data_key = split(input_key, input)
    if output.grain is None:
        return _downstream(input, data_key, output, "", seen)
    if input.grain is None:
        return None
    pair = _pair(output.grain, output_timezone, input.grain, input_timezone, spec)
    results: list[str] = []
    for interval in _requiring(pair, time_key):
        touched = _downstream(input, data_key, output, interval, seen)
        if touched is None:
            return None
        results += touched
    return tuple(results)


def _downstream(
    source: PartitionSpec, data_key: str, output: PartitionSpec, interval: str, seen: Seen | None
) -> tuple[str, ...] | None:
    """Return the downstream partitions of one interval; None if they can't be listed."""
    if output.key is None:
        return (interval,)
    if source.key == output.key:
        return (_keyed(interval, data_key),)
    if output.values is None and seen is None:
        return None
    data_keys = (
        output.values if output.values is not None else seen(interval) if seen is not None else ()
    )
    return tuple(_keyed(interval, data) for data in data_keys)


def split(key: str, spec: PartitionSpec) -> tuple[str, str]:
    """Split a partition's key into time key and data key; a part that doesn't apply is empty."""
    if spec.grain is None:
        return "", key
    if spec.key is None:
        return key, ""
    interval, separator, data = key.partition(SEPARATOR)
    if not separator:
        raise UsageError(
            f"{key[:40]!r} names no {spec.key}", hint=f"write the time, a slash and the {spec.key}"
        )
    return interval, data


def join(time_key: str, data_key: str) -> str:
    """Join a time key and a data key, either of which may be empty; the inverse of `split`."""
    return f"{time_key}{SEPARATOR}{data_key}" if time_key and data_key else time_key or data_key


def _keyed(time_key: str, data_key: str) -> str:
    """Join a time key and a data key; unlike `join`, an empty data key keeps the separator."""
    return f"{time_key}{SEPARATOR}{data_key}" if time_key else data_key


def _pair(
    output: Grain, output_zone: str, source: Grain, source_zone: str, spec: InputSpec
) -> _Pair:
    lookback = _NOTHING if spec.lookback is None else Duration.parse(spec.lookback)
    return _Pair(
        output=output,
        output_zone=output_zone,
        input=source,
        input_zone=source_zone,
        mode=spec.mode,
        lookback=lookback,
    )


@lru_cache(_KEYS_CACHED_MAX)
def _times(pair: _Pair, key: str) -> tuple[str, ...]:
    """Return the input's time keys that the output's time key requires."""
    if pair.mode is InputMode.PREVIOUS:
        key = previous_key(key, pair.output, pair.output_zone)
    start, end = bounds_us(key, pair.output, pair.output_zone)
    since = pair.lookback.before_us(start, pair.output_zone)
    if pair.coarser and pair.mode is not InputMode.WITHIN:
        return _ended_by(pair, since, end)
    if pair.input is pair.output and pair.input_zone == pair.output_zone and since == start:
        return (key,)
    return _overlapping(pair, since, end)


def _overlapping(pair: _Pair, since: int, end: int) -> tuple[str, ...]:
    first = key_at_us(since, pair.input, pair.input_zone)
    last = key_at_us(end - 1, pair.input, pair.input_zone)
    return tuple(keys_between(first, last, pair.input, pair.input_zone))


def _ended_by(pair: _Pair, since: int, end: int) -> tuple[str, ...]:
    """Return time keys of a coarser input: the last one that ends by `end`, and those back to
    `since`."""
    last = previous_key(key_at_us(end, pair.input, pair.input_zone), pair.input, pair.input_zone)
    if pair.lookback == _NOTHING:
        return (last,)
    first = min(key_at_us(since, pair.input, pair.input_zone), last)
    return tuple(keys_between(first, last, pair.input, pair.input_zone))


def first_start_us(
    output: Grain, output_zone: str, inputs: Collection[tuple[float, Grain, str, InputSpec]]
) -> float:
    """Return when the first interval of an asset starts, in microseconds.

    `inputs` are the required ones that are partitioned by time: start, grain, time zone and
    declaration. A start is infinite if it isn't known, minus infinite if there is none. The first
    interval is that of the latest start, or if no input has anything to read then, as with
    `previous: true` alone, the first one that reads something.
    """
    latest = max((start for start, *_ in inputs), default=-math.inf)
    reading = (
        start
        if math.isinf(start)
        else start_us(
            _requiring(pair, key_at_us(int(start), pair.input, zone))[0], output, output_zone
        )
        for start, grain, zone, spec in inputs
        for pair in (_pair(output, output_zone, grain, zone, spec),)
    )
    return max(latest, min(reading, default=-math.inf))


@lru_cache(_KEYS_CACHED_MAX)
def _requiring(pair: _Pair, time_key: str) -> tuple[str, ...]:
    """Return the output's time keys that require an input's time key.

    They are adjacent, because required intervals move forward with the output, so only both ends of
    the candidate range need to be tested.
    """
    keys = list(_candidates(pair, time_key))
    while keys and time_key not in _times(pair, keys[-1]):
        keys.pop()
    first = next((index for index, key in enumerate(keys) if time_key in _times(pair, key)), 0)
    return tuple(keys[first:])


def _candidates(pair: _Pair, time_key: str) -> Iterator[str]:
    """Yield a range of the output's time keys that contains all that may require an input's."""
    start, end = bounds_us(time_key, pair.input, pair.input_zone)
    if pair.coarser:  # until the next partition of the input has ended
        end = bounds_us(
            next_key(time_key, pair.input, pair.input_zone), pair.input, pair.input_zone
        )[1]
    first = key_at_us(start, pair.output, pair.output_zone)
    last = key_at_us(pair.lookback.after_us(end, pair.output_zone), pair.output, pair.output_zone)
    last = next_key(last, pair.output, pair.output_zone)
    return keys_between(first, last, pair.output, pair.output_zone)


# The order of partitions in time. Keys of one node sort as text, except hours: in the repeated
# hour of zones east of Greenwich `…T02:00+02:00` is earlier than `…T02:00+01:00`, and some zones
# set their clocks back across midnight.

_BEYOND = chr(ord(SEPARATOR) + 1)


def order_of(key: str, spec: PartitionSpec, timezone: str) -> str:
    """Return a sort key that orders a node's partitions by time, then by data key."""
    if spec.grain is not Grain.HOUR:
        return key
    time_key, separator, data_key = key.partition(SEPARATOR)
    return f"{_hour(time_key, timezone)}{separator}{data_key}"


def end_of(key: str, spec: PartitionSpec, timezone: str) -> str:
    """Return the sort key of the last partition that `key` means.

    For data partitioned by time and key, a time key alone means all its data keys.
    """
    last = order_of(key, spec, timezone)
    return (
        last + _BEYOND
        if spec.grain is not None and spec.key is not None and SEPARATOR not in key
        else last
    )


@functools.lru_cache(maxsize=1 << 16)
def _hour(key: str, timezone: str) -> str:
    try:
        return (EPOCH + timedelta(microseconds=start_us(key, Grain.HOUR, timezone))).isoformat()
    except UsageError:  # the key is older than a change of the zone or of its rules
        return key


# Command lines to copy: words are quoted for a POSIX shell where necessary.

WHOLE = "*"
"""The only partition of unpartitioned data; command lines omit it."""


def command_line(*words: str) -> str:
    """Return `headrace` with these words, quoted, because partition keys may contain any text.

    A key that begins with `-` would be an option by itself, and stands behind a `=`.
    """
    return "headrace" + "".join(
        ("=" if before in ("--partition", "--from", "--to") and word[:1] == "-" else " ")
        + shlex.quote(word)
        for before, word in zip(("", *words), words, strict=False)
    )


def partition_argument(node: str, partition: str) -> str:
    """Return a node or one of its partitions as a command's argument: `orders@2025-03-01`."""
    return node if partition == WHOLE else f"{node}@{partition}"


def range_of(keys: Sequence[str]) -> tuple[str, str]:
    """Return the first and the last of ordered partitions, as values of `--from` and `--to`.

    If they have several data keys, only time keys are returned, which mean all data keys.
    """
    if len({key.partition(SEPARATOR)[2] for key in keys}) > 1:
        keys = [key.partition(SEPARATOR)[0] for key in keys]
    return keys[0], keys[-1]
