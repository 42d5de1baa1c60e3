"""Bodies: runs SQL, Python and commands over published files, and measures what they cost."""

from headrace.engine.bodies import BodyError, ErrorKind, InputData, Measures, Scope

__all__ = ["BodyError", "ErrorKind", "InputData", "Measures", "Scope"]
