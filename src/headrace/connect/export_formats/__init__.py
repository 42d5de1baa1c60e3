"""Formats of exports to files: a module for each kind, with a subclass of `ExportKind` whose `name`
is the module's. `headrace.model.plugins` finds them.
"""
