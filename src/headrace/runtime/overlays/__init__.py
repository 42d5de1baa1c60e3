"""Backfills as overlays.

A plan has a core of its own, which computes partitions alongside production and publishes them at once.
Staged partitions are listed in the store and aren't registered in the lake: readers see none of them before they are published.
"""
