"""Advice from a project's history and its SQL: what time and money go into, and what could go.

`services` reads the rows; these modules add them up, simulate and judge.
"""
