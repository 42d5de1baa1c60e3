"""A project that really runs, for what is written of one."""

from clilab import call
from runlab import lab

__all__ = ["call", "lab"]
