"""`headrace --help`: plain text from the table of commands, without importing any of them."""

from __future__ import annotations

from headrace.cli.command_table import COMMANDS, GROUPS

OPTIONS = """\
Options of every command, before it or after it:
  --project DIR   the project (default: the nearest folder upwards with headrace.toml)
  --env NAME      the environment (or HEADRACE_ENV; default prod)
  --now T         the replay clock's time, ISO 8601
  --json          one JSON document on standard output
  --utc           times in UTC instead of the project's zone
  --no-color      no colour (or NO_COLOR); colour is for terminals only
  -v              more detail, and a traceback where something fails

Also: --version, --install-completion [bash|zsh|fish]
A command's own options: headrace COMMAND --help"""

HEAD = """\
Usage: headrace COMMAND [SELECT…] [OPTIONS]

Say who needs which data by when; Headrace runs what must run and lets nothing through that failed its checks."""


def text() -> str:
    """The whole help, commands grouped, those to start with first."""
    parts = [HEAD, ""]
    for group in GROUPS:
        parts.append(f"{group.capitalize()}:")
        parts += [f"  {command.name:<12} {command.summary}" for command in COMMANDS if command.group == group]
        parts.append("")
    return "\n".join([*parts, OPTIONS])
