"""The built-in check kinds, one class per module (see `headrace.checks.check_kinds`).

They are found by their files (`headrace.model.plugins`); a module is imported when a declaration
names its kind.
"""
