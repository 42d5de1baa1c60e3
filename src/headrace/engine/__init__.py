"""Runs the code of assets (SQL, Python, commands) over published files and measures its cost."""

from headrace.engine.attempts import AttemptScope, BodyError, ErrorKind, InputData, Measures

__all__ = ["AttemptScope", "BodyError", "ErrorKind", "InputData", "Measures"]
