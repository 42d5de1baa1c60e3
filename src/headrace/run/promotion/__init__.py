"""Promotion: what an environment has built is published in production as it is, instead of being computed again.

`offers` says what may be, `copying` brings the rows into production's lake, `publishing` makes them visible.
"""
