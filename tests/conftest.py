"""What all tests may ask for."""

from __future__ import annotations

from postgres_cluster import cluster, postgresql
from state_kinds import state_settings

__all__ = ["cluster", "postgresql", "state_settings"]
