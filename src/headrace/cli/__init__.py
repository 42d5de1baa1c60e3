"""The command line: arguments in, documents printed for people or as JSON.

Starts fast: the table of commands is plain data, and a command's module is imported only when that command is typed.
"""
