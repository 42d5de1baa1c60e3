"""Services: the commands that people and programs can run, one file per noun.

Each command is a function of a session and returns a response. The CLI, the HTTP API and
`headrace.Session` call the same functions.
"""
