"""The rhythm that partitions have: a day's weekday, an hour's hour."""

from __future__ import annotations

import re
from datetime import date, datetime

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


_NUMBERS = re.compile(r"\d+")
_A_YEAR = {Grain.MONTH: 12, Grain.QUARTER: 4, Grain.YEAR: 1}


def place(partition: str, grain: Grain | None) -> float | None:
    """How many intervals lie before a partition, from a beginning that is the same for all of a grain;
    None where its key doesn't say."""
    moment = partition.partition(SEPARATOR)[0]
    try:
        if grain is Grain.DAY:
            return float(date.fromisoformat(moment[:10]).toordinal())
        if grain is Grain.HOUR:
            return datetime.fromisoformat(moment).timestamp() / 3600
        if grain is Grain.WEEK:
            return date.fromisoformat(f"{moment}-1").toordinal() / 7
        if grain in _A_YEAR:
            year, *within = (int(item) for item in _NUMBERS.findall(moment))
            return float(year * _A_YEAR[grain] + (within[0] if within else 0))
    except ValueError:
        return None
    return None
