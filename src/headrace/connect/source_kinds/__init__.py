"""The built-in sources of one class, one per module (see `headrace.connect.connectors`).

They are found by their files (`headrace.model.plugins`); a module is imported when a declaration
has its field.
"""
