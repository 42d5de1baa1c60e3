"""The table of commands, the options that all commands take, and the text of `headrace --help`.

This module and `installed_commands` import nothing else of Headrace, so `headrace --help` starts
fast. Their annotations are values: NamedTuple compiles each one that is text, which takes longer
than all the rest of this.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

from headrace.command_tables import CLI
from headrace.installed_commands import CliCommand, installed_commands

COMPLETE = "_HEADRACE_COMPLETE"
"""The variable by which a shell asks for candidates."""
LEADING = frozenset({"run", "retry", "backfill", "serve"})
"""Commands that need workers where no other process leads; see `starting_ahead`.

Most calls of `tick` find nothing due, and end before a worker could be ready.
"""
INTERRUPTED = 4
"""The exit code of an interrupted command."""


GROUPS = ("start", "look", "act", "change", "operate")

_ORDER = [
    "demo", "init", "status", "ls", "what-if", "why", "badge", "bottleneck", "complexity",
    "costs", "runs", "logs", "deliveries", "incidents", "incident", "quarantine", "checks",
    "lineage", "docs", "read", "diff", "sql", "explain", "versions", "access", "audit", "fix",
    "run", "backfill", "backfills", "approvals", "approve", "reject", "receive", "try", "retry",
    "cancel", "pause", "resume", "waive", "exports", "unpublish", "erase", "hold", "test",
    "schema", "validate", "lsp", "render", "optimize", "ab", "plan", "apply", "contract",
    "classify", "export", "token", "keys", "freeze", "unfreeze", "user", "session", "connections",
    "notify", "doctor", "conformance", "serve", "mcp", "dev", "tick", "db",
]  # fmt: skip
"""The commands in the order of `headrace --help`; others come after them, by name."""


def _place(row: Sequence[Any]) -> int:
    return _ORDER.index(row[0]) if row[0] in _ORDER else len(_ORDER)


COMMANDS = tuple(CliCommand(*row) for row in sorted(CLI, key=_place))
BY_NAME = {command.name: command for command in COMMANDS}
"""The commands of this package; `find_command` also knows those of other packages."""


def all_commands() -> Iterator[CliCommand]:
    """Yield the commands of this package, and those of other packages that it hasn't."""
    commands = sorted({**installed_commands(), **BY_NAME}.values(), key=_place)
    yield from (command for command in commands if " " not in command.name)  # others are actions


def find_command(name: str) -> CliCommand | None:
    """Return a command of this or another installed package; None if there is none."""
    return BY_NAME.get(name) or installed_commands().get(name)


RENAMED = {"withdraw": "unpublish"}
"""Former name → command. It works until the minor version after the next, with a note."""

NOT_BUILT = {
    "expect": "use `expect:` in the source's file",
    "handover": "use `headrace status` and `headrace runs --failed`",
    "maintenance": "nothing can be declared ahead yet",
    "mute": "use `headrace incidents mute ID`, or `quiet:` in owners.yaml",
    "report": "use `headrace status`",
}
"""Commands that aren't built yet, with what to use instead."""

OTHER_TOOLS = {
    "add": "write a file in assets/, then `headrace validate`",
    "airflow": "`headrace --help` lists what there is",
    "asset": "`headrace ls`",
    "assign": "`headrace incidents assign ID PERSON`",
    "assets": "`headrace ls`",
    "bench": "`make bench ARGS=overhead` in a checkout of Headrace",
    "build": "`headrace run` (checks run with every attempt)",
    "check": "`headrace validate` for declarations, `headrace try ASSET@K` for data",
    "clean": "nothing has to be cleaned; published data is replaced, never deleted by hand",
    "clear": "`headrace run ASSET --partition K --again --reason TEXT`",
    "compile": "`headrace render ASSET@K`, or `headrace validate` for all",
    "create": "`headrace init DIR`",
    "dag": "`headrace ls`, `headrace lineage ASSET`",
    "dags": "`headrace ls`, `headrace lineage ASSET`",
    "daemon": "`headrace serve`",
    "debug": "`headrace validate`, then `headrace status`",
    "deploy": "`headrace apply`",
    "down": "Ctrl-C where `headrace serve` runs, or a SIGTERM to it",
    "execute": "`headrace run`",
    "freshness": "`headrace status`",
    "graph": "`headrace lineage ASSET`",
    "history": "`headrace runs`",
    "invalidate": "`headrace run ASSET --partition K --again --reason TEXT`",
    "jobs": "`headrace runs`",
    "launch": "`headrace run`",
    "lint": "`headrace validate`",
    "list": "`headrace ls`",
    "log": "`headrace logs ASSET@K`",
    "materialize": "`headrace run ASSET`",
    "migrate": (
        "`headrace apply` (the state's own tables are brought up to date by every command that"
        " writes)"
    ),
    "new": "`headrace init DIR`",
    "parse": "`headrace validate`",
    "preview": "`headrace try ASSET@K`",
    "ps": "`headrace status`",
    "query": "`headrace read ASSET`",
    "rerun": "`headrace run ASSET --partition K --again --reason TEXT`",
    "scheduler": "`headrace serve`, or `headrace tick` from cron",
    "seed": "a file source with `partition: '*'` (`headrace init --from FILE` writes one)",
    "select": "`headrace read ASSET`",
    "show": (
        "`headrace read ASSET` for published data, `headrace try ASSET@K` for what isn't published"
    ),
    "snapshot": "every publication is a snapshot: `headrace read ASSET --at T`",
    "source": "`headrace ls 'source:*'`",
    "sources": "`headrace status` for their states, `headrace ls` for all",
    "start": "`headrace serve`, or `headrace tick` from cron",
    "tasks": "`headrace runs`",
    "trigger": "`headrace run ASSET`",
    "up": "`headrace serve`, or `headrace tick` from cron",
    "version": "`headrace --version`",
}
"""Command names of other tools, with what to use instead."""


# Options that every command takes, before or after its name. Those before it are parsed here,
# because the command's module isn't imported yet.


class Options(NamedTuple):
    """The values of the options that every command takes; None and False mean "not given"."""

    project: str | None = None
    env: str | None = None
    now: str | None = None
    json: bool = False
    no_color: bool = False
    verbose: bool = False
    utc: bool = False
    token_file: str | None = None

    def with_defaults(self, defaults: Self) -> Self:
        """Return these options, with values that aren't given taken from `defaults`."""
        return type(self)._make(
            value or default for value, default in zip(self, defaults, strict=True)
        )


class ValueMissing(Exception):
    """An option at the end of the line lacks its value; the message is the option's name."""


VALUES = {
    "--project": "project",
    "--env": "env",
    "--now": "now",
    "--token-file": "token_file",
}
FLAGS = {
    "--json": "json",
    "--no-color": "no_color",
    "-v": "verbose",
    "--verbose": "verbose",
    "--utc": "utc",
}


def split_options(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """Split a command line into the options before the command and the remaining words.

    The remaining words begin with the command, or with an option that isn't common to all commands.
    Raises ValueMissing.
    """
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        option, equals, value = rest[0].partition("=")
        if rest[0] in FLAGS:
            values[FLAGS[rest.pop(0)]] = True
        elif option in VALUES:
            rest.pop(0)
            if not equals and not rest:
                raise ValueMissing(option)
            values[VALUES[option]] = value if equals else rest.pop(0)
        else:
            break
    return Options(**values), rest


# `headrace --help`: plain text from the table, without importing any command.

OPTIONS_HELP = """\
Options of every command, before it or after it:
  --project DIR   the project (default: the nearest folder upwards with headrace.toml)
  --env NAME      the environment (or HEADRACE_ENV; default prod)
  --now T         the replay clock's time, ISO 8601
  --token-file FILE  act as an API token (or HEADRACE_TOKEN)
  --json          one JSON document on standard output
  --utc           times in UTC instead of the project's zone
  --no-color      no colour (or NO_COLOR); colour is for terminals only
  -v              more detail, and a traceback where something fails

Also: --version, --install-completion [bash|zsh|fish]
A command's own options: headrace COMMAND --help"""

USAGE = """\
Usage: headrace COMMAND [SELECT…] [OPTIONS]

Say who needs which data by when. Headrace runs what must run and publishes nothing that failed a
blocking check."""


def help_text() -> str:
    """Return the text of `headrace --help`, with the commands by group."""
    parts = [USAGE, ""]
    for group in GROUPS:
        parts.append(f"{group.capitalize()}:")
        parts += [
            f"  {command.name:<12} {command.summary}"
            for command in all_commands()
            if command.group == group
        ]
        parts.append("")
    return "\n".join([*parts, OPTIONS_HELP])
