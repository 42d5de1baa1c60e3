"""The guided example: a project on real flights, replayed day by day until a vendor breaks it."""

from __future__ import annotations

from headrace.extension import CliCommand

DEMO = CliCommand(
    name="demo",
    group="start",
    summary="run the guided example on real data",
    home="headrace_demo.cli",
)
