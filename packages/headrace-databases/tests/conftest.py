"""The fixtures of `tests/connect` and `tests/model`."""

from connect_workbench import bench
from exportlab import export_bench
from modellab import load, parse, write

__all__ = ["bench", "export_bench", "load", "parse", "write"]
