"""The built-in check kinds; each registers itself (see `headrace.checks.check_kinds`).

The first lookup of a kind imports every module of this package.
"""
