"""Advice from a project's own history: where time goes, what it costs, and what can go.

The modules are pure: `services` reads the rows, and these functions add them up and judge them.
"""
