"""The table of commands, the options that all commands take, and the text of `headrace --help`.

This module and `installed_commands` import nothing else of Headrace, so `headrace --help` starts
fast. Their annotations are values: NamedTuple compiles each one that is text, which takes longer
than all the rest of this.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

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

MODULES = {
    "demo": "start",
    "init": "start",
    "serve": "start",
    "dev": "start",
    "incident": "incidents",
    "backfill": "backfills",
    "approve": "approvals",
    "reject": "approvals",
    "plan": "plans",
    "diff": "plans",
    "versions": "apply",
    "logs": "runs",
    "tick": "run",
    "retry": "run",
    "cancel": "run",
    "pause": "run",
    "resume": "run",
    "receive": "deliveries",
    "hold": "erase",
    "unpublish": "quarantine",
    "waive": "consumers",
    "exports": "consumers",
    "sql": "read",
    "validate": "declarations",
    "ls": "declarations",
    "schema": "explain",
    "lineage": "assets",
    "render": "assets",
    "try": "assets",
    "test": "assets",
    "connections": "doctor",
    "notify": "doctor",
    "what-if": "what_if",
    "unfreeze": "freeze",
}

COMMANDS = (
    CliCommand("demo", "start", "run the guided example on real data"),
    CliCommand("init", "start", "create a project; --from FILE… derives it from files"),
    CliCommand("status", "start", "show each consumer: served or not, since when, why"),
    CliCommand("ls", "look", "list sources, assets and consumers"),
    CliCommand("what-if", "look", "simulate the coming days with a change"),
    CliCommand("why", "look", "explain what a consumer or an asset waits for"),
    CliCommand("badge", "look", "give the state of a consumer as a picture, for other pages"),
    CliCommand("bottleneck", "look", "show where the waits of consumers went, and what got slower"),
    CliCommand("complexity", "look", "show what the project could do without; prune it"),
    CliCommand("costs", "look", "show what work and storage cost, and what was in vain"),
    CliCommand("runs", "look", "list runs and their outcomes"),
    CliCommand("logs", "look", "print the log lines of an attempt"),
    CliCommand("deliveries", "look", "list the deliveries of a source and their outcomes"),
    CliCommand("incidents", "look", "list open incidents; `report` published data that is wrong"),
    CliCommand("incident", "look", "show one incident: evidence, affected consumers, repair"),
    CliCommand("quarantine", "look", "list held and rejected data; accept or drop it"),
    CliCommand("checks", "look", "list checks and their results; challenge them, suggest new ones"),
    CliCommand("lineage", "look", "trace a column upstream and downstream"),
    CliCommand("read", "look", "read published data as a table, CSV, JSON, Parquet or Arrow"),
    CliCommand("diff", "look", "compare the rows of an asset at two points in time"),
    CliCommand("sql", "look", "query one snapshot of all published data"),
    CliCommand("explain", "look", "explain a problem code"),
    CliCommand("versions", "look", "list applied versions with their plans and files"),
    CliCommand("access", "look", "show who may do what, and which rule decides"),
    CliCommand("audit", "look", "show, verify or checkpoint the audit trail"),
    CliCommand("fix", "start", "plan the repair of an incident, then run it"),
    CliCommand("run", "act", "run assets now"),
    CliCommand("backfill", "act", "plan and run a backfill; production goes on meanwhile"),
    CliCommand("backfills", "act", "list backfills; pause, resume or cancel one"),
    CliCommand("approvals", "act", "list plans that wait for an approval, and the answers"),
    CliCommand("approve", "act", "approve a plan that somebody else asked for"),
    CliCommand("reject", "act", "reject a plan that waits for an approval"),
    CliCommand("receive", "act", "hand in a delivery from a file"),
    CliCommand("try", "act", "compute and audit one asset without publishing"),
    CliCommand("retry", "act", "run again what failed"),
    CliCommand("cancel", "act", "end a run"),
    CliCommand("pause", "act", "stop starting assets; without a selection: list pauses"),
    CliCommand("resume", "act", "let paused assets run again"),
    CliCommand("waive", "act", "waive an obligation whose interval nobody needs any more"),
    CliCommand("exports", "act", "take over the export target of a consumer"),
    CliCommand("unpublish", "act", "take a publication back: readers no longer see it"),
    CliCommand("erase", "act", "erase a person's rows everywhere, with a certificate"),
    CliCommand("hold", "act", "forbid that data is erased or retired; list and release holds"),
    CliCommand("test", "change", "run the unit tests of assets"),
    CliCommand("schema", "change", "print JSON Schemas of the project's files, for editors"),
    CliCommand("validate", "change", "list the problems of the project's files; runs nothing"),
    CliCommand("render", "change", "print the SQL of an asset as it will run"),
    CliCommand("optimize", "change", "list what can go or be faster in SQL; `check` reads files"),
    CliCommand("ab", "change", "try a change of an asset: is it equal, and is it faster?"),
    CliCommand("plan", "change", "show what changed files would do"),
    CliCommand("apply", "change", "apply changed files"),
    CliCommand("contract", "change", "show a contract, accept renamed columns, infer a contract"),
    CliCommand("classify", "change", "propose classifications and masks of columns"),
    CliCommand("export", "operate", "write manifest.json and run_results.json as dbt does"),
    CliCommand("token", "operate", "create, list and revoke API tokens"),
    CliCommand("keys", "operate", "show and rotate the keys of masks, reverse a token"),
    CliCommand("freeze", "operate", "stop a person, a token, or everybody but admins"),
    CliCommand("unfreeze", "operate", "let somebody who is frozen work again"),
    CliCommand("user", "operate", "add and remove users who sign in with a password"),
    CliCommand("session", "operate", "list and end sessions of browsers"),
    CliCommand("connections", "operate", "list connections of sources and exports; `test` them"),
    CliCommand(
        "notify", "operate", "list contacts and undelivered messages; `test` sends a message"
    ),
    CliCommand("doctor", "operate", "examine machine, state, sources, secrets and exports"),
    CliCommand("conformance", "change", "try a program against the protocol of command assets"),
    CliCommand("bench", "operate", "measure what Headrace costs on this machine"),
    CliCommand("serve", "operate", "run until stopped: sources, schedules, requests, web UI"),
    CliCommand("mcp", "operate", "serve the commands as tools to an agent (MCP)"),
    CliCommand("dev", "change", "serve an environment that applies and builds what you save"),
    CliCommand(
        "tick", "operate", "make one pass: observe sources, run what is due, evaluate consumers"
    ),
    CliCommand("db", "operate", "upgrade, check, back up, restore or clean up the state"),
)

BY_NAME = {command.name: command for command in COMMANDS}
"""The commands of this package; `find_command` also knows those of other packages."""


def all_commands() -> Iterator[CliCommand]:
    """Yield the commands of this package, then those of other packages that it hasn't."""
    yield from COMMANDS
    yield from (item for name, item in installed_commands().items() if name not in BY_NAME)


def find_command(name: str) -> CliCommand | None:
    """Return a command of this or another installed package; None if there is none."""
    return BY_NAME.get(name) or installed_commands().get(name)


def module_of(command: CliCommand) -> str:
    """Return the module that defines `<name>_command`: in this package the command's name, unless
    `MODULES` has another.
    """
    return command.home or f"headrace.cli.commands.{MODULES.get(command.name, command.name)}"


RENAMED = {"withdraw": "unpublish"}
"""Former name → command. It works until the minor version after the next, with a note."""

IN_PACKAGES = {"import": "headrace-import"}
"""Command of a package of its own that is developed with this one → the package."""

NOT_BUILT = {
    "docs": "use `headrace ls` and `headrace lineage ASSET`",
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
    "help": "`headrace --help`",
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
