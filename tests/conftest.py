"""What all tests may ask for."""

from __future__ import annotations

from postgres_cluster import cluster, postgresql

__all__ = ["cluster", "postgresql"]
