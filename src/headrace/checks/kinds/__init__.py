"""The built-in check kinds, one class per module (see `headrace.checks.check_kinds`).

`BUILT_IN` of `headrace.model.check_kinds` lists them; a module is imported when a declaration names
its kind.
"""
