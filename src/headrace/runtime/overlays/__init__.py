"""Backfills as overlays.

A backfill has its own core, which computes partitions concurrently with production and publishes
them at once. Staged partitions are listed in the store and aren't registered in the lake: readers
see none of them before they are published.
"""
