"""The check kinds of Headrace; each registers itself (see `headrace.checks.check_kinds`).

Every module of this folder is imported when a kind is first looked up.
"""
