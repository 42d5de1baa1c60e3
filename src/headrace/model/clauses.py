"""Clauses of facts by which one room tells another what it found out."""

from __future__ import annotations

BESIDES = "whatever its columns are called"
"""The end of the detail of what is odd about a delivery that is held for its names, and would be with the names decided."""
