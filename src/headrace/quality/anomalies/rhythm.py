"""The rhythm that partitions have: a day's weekday, an hour's hour."""

from __future__ import annotations

from datetime import date

from headrace.model import Grain
from headrace.model.required import SEPARATOR

NO_RHYTHM = 0


def season(partition: str, grain: Grain | None) -> int:
    """Where in its rhythm a partition stands; the same number for all where a grain has none that eight weeks of it show."""
    moment = partition.partition(SEPARATOR)[0]
    try:
        if grain is Grain.DAY:
            return date.fromisoformat(moment[:10]).weekday()
        if grain is Grain.HOUR:
            return int(moment[11:13])
    except ValueError:
        return NO_RHYTHM
    return NO_RHYTHM
