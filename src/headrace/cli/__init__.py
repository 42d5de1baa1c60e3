"""The command line: arguments in, documents printed for people or as JSON.

Starts fast: the table of verbs is plain data, and a verb's module is imported only when that verb is typed.
"""
