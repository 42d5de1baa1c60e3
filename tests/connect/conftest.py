"""The fixtures of `connect_workbench` and `exportlab`, for every test here."""

from connect_workbench import bench
from exportlab import export_bench

__all__ = ["bench", "export_bench"]
