"""Services: what a person or a program can ask Headrace for, one file per noun.

Each command is a function of a session that returns a response; CLI, HTTP API and `headrace.Session` call the same functions.
"""
