"""A project whose attempts run on a cluster, and declarations."""

from modellab import parse, write
from runlab import lab

__all__ = ["lab", "parse", "write"]
