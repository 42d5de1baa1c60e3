"""Backfills as overlays: a plan has a core of its own, which makes partitions beside production and publishes them at once.

What it stages is listed in the store and isn't registered in the lake: readers see nothing of it before it is promoted.
"""
