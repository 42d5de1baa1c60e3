"""The fixtures of `tests/connect` and `tests/model`, and a project that really runs."""

from connect_workbench import bench
from modellab import load, parse, write
from runlab import lab

__all__ = ["bench", "lab", "load", "parse", "write"]
