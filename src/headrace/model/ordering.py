"""The order of partitions in time. Keys of one node sort as text, but for hours: in the doubled hour of zones east of Greenwich
`…T02:00+02:00` comes before `…T02:00+01:00`, and clocks have been set back across midnight."""

from __future__ import annotations

import functools

from headrace.model.errors import UsageError
from headrace.model.intervals import start_us
from headrace.model.nodes import Grain, PartitionSpec
from headrace.model.required import SEPARATOR
from headrace.model.zones import from_us

_BEYOND = chr(ord(SEPARATOR) + 1)


def order_of(key: str, spec: PartitionSpec, timezone: str) -> str:
    """A text that sorts a node's partitions by time, and within it by the data's key."""
    if spec.grain is not Grain.HOUR:
        return key
    time_key, separator, data_key = key.partition(SEPARATOR)
    return f"{_hour(time_key, timezone)}{separator}{data_key}"


def end_of(key: str, spec: PartitionSpec, timezone: str) -> str:
    """The order of the last partition that `key` means: where the data is cut by time and key, a time alone means all its keys."""
    last = order_of(key, spec, timezone)
    return last + _BEYOND if spec.grain is not None and spec.key is not None and SEPARATOR not in key else last


@functools.lru_cache(maxsize=1 << 16)
def _hour(key: str, timezone: str) -> str:
    try:
        return from_us(start_us(key, Grain.HOUR, timezone), "UTC").isoformat()
    except UsageError:  # of before the zone or its rules were changed
        return key
