"""A project that really runs, whose attempts are reported."""

from runlab import lab

__all__ = ["lab"]
