"""The fixtures of `tests/connect` and `tests/model`, and of projects that run."""

from connect_workbench import bench
from exportlab import export_bench
from modellab import load, parse, write
from runlab import lab

__all__ = ["bench", "export_bench", "lab", "load", "parse", "write"]
