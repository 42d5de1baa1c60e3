"""Asset code: runs SQL, Python functions and commands over published files, and measures what they cost."""

from headrace.engine.attempts import AttemptScope, BodyError, ErrorKind, InputData, Measures

__all__ = ["AttemptScope", "BodyError", "ErrorKind", "InputData", "Measures"]
