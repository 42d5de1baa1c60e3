"""Clauses of facts by which one room tells another what it found out."""

from __future__ import annotations

SIZE = "location: "
"""Before the factor by which a column's values are larger or smaller than expected."""
BESIDES = "whatever its columns are called"
"""The end of the detail of what is odd about a delivery that is held for its names, and would be with the names decided."""
DELIVERED_AS = "delivered as "
"""Before the name that the delivery has for the column, in the same detail, where it is another."""
OUTSIZED = ("takes more memory than an attempt may use", "takes more time than an attempt may take")
"""The beginning of the detail of a delivery that is too large to be read; its size follows."""
FRACTIONS = "the conversion gives fractions"
"""After the name of a column of whole numbers, which can't take what its conversion gives; its type follows."""
UNRESOLVED = "a secret of it can't be had"
"""The beginning of why an attempt failed whose secrets couldn't be resolved; what is missing follows."""
LAKE_CLOSED = "the lake can't be written"
"""The beginning of why a delivery waits that nothing can be published of; the system's reason follows."""
LAKE_FILE = "the lake's file "
"""The beginning of why an attempt waits that was to read a damaged file; its path and what is wrong with it follow."""
