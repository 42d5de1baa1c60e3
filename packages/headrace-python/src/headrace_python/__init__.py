"""Packages of single assets: locked with hashes, in environments of their own."""

from __future__ import annotations

from headrace.extension import CliCommand

LOCK = CliCommand(
    name="lock",
    group="change",
    summary="write down versions and hashes of assets' packages",
    home="headrace_python.cli",
)
"""`headrace lock`: the versions and hashes of the packages of assets."""
