"""What a check kind knows when it proposes a check: the faults of a challenge, and the history.

Kinds import this module with their declarations, so it needs no DuckDB.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.model.wording import counted

CATEGORIES_MAX = 20
"""The maximum number of distinct values of a categorical text or integer column."""


class MutationKind(enum.StrEnum):
    """The kinds of mutations, in the order in which they are tried."""

    NULLS = "nulls"
    DUPLICATES = "duplicates"
    SCALE = "scale"
    TRUNCATION = "truncation"
    CATEGORY = "category"
    REFERENCE = "reference"
    DAY = "off_by_one_day"
    ENCODING = "encoding"
    DEFAULT = "default"
    SIGN = "sign"
    STALE = "stale"
    SWAPPED = "swapped"


# Common properties of an asset's newest published partitions: the basis of proposed checks.

MARGIN = 10
"""The factor from observed values to the bounds of a range: it finds wrong units, not records."""
LEAST_SHARE = 0.7
"""The share of the smallest partition's rows below which rows are missing."""
ROWS_MIN = 10
"""The minimum number of rows for conclusions about values."""
ROWS_A_VALUE = 10
"""The minimum mean number of rows per value for observed values to count as all values."""
PARTITIONS_MIN = 3
"""The minimum number of partitions for conclusions about the number of rows."""


class Remembered(msgspec.Struct, frozen=True):
    """One column over all remembered partitions.

    `values` are all distinct values, for texts and integers with few. `of_partition`: each
    partition has exactly one value, such as the year of a day; the value of the next partition may
    then be new.
    """

    nulls: int
    minimum: Any = None
    maximum: Any = None
    values: tuple[Any, ...] = ()
    of_partition: bool = False


class Memory(msgspec.Struct, frozen=True):
    """Common properties of the newest partitions.

    These are their number, their rows, the rows of the smallest, each column, and a key that holds
    in each of them.
    """

    partitions: int
    rows: int
    least_rows: int
    columns: dict[str, Remembered]
    key: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Return `3,210 rows of 30 partitions`."""
        return f"{counted(self.rows, 'row')} of {counted(self.partitions, 'partition')}"


class Proposal(msgspec.Struct, frozen=True):
    """The arguments of a proposed check, and the evidence for it.

    `part` distinguishes several proposals for one column.
    """

    arguments: Mapping[str, Any]
    evidence: str
    part: str = ""
