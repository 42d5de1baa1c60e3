"""The packages, the way of a delivery and the processes: `docs/explanation/architecture.md`.

The picture is made of the import contract in pyproject.toml, the sentences about packages of their
docstrings.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from scripts.reference_pages.markdown import page as written
from scripts.reference_pages.markdown import table

LEAD = """How Headrace's code is arranged, for somebody who wants to read or change
it. [How it works](how-it-works.md) explains the product,
[CONTRIBUTING](../../CONTRIBUTING.md) how to add something."""

PACKAGES = """A package imports only from those below it. Packages in one line never import each
other. `make lint` checks that. Packages of `packages/` are distributions of their own and add
commands, formats and more through `headrace.extension`: `headrace-import` has `import` and
`export`, `headrace-advisor` has `optimize`, `ab`, `what-if`, `bottleneck`, `complexity`, `costs`
and `checks challenge`, `headrace-databases` has rows and tables of databases, `headrace-http`
sources behind HTTP, `headrace-legacy` has Excel, XML, fixed width, copybooks, and what banks,
trade, hospitals and markets send, `headrace-observe` lineage events, traces and metrics,
`headrace-cloud` the executor of Dask, `headrace-testing` `test`, `try`, `ci` and `doctor`,
`headrace-demo` the guided example, `headrace-ui` the web UI and what only its pages ask for,
`headrace-agents` the tools of agents, `headrace-sso` sign-in at a provider, `headrace-lsp` the
language server for editors, `headrace-docs` the site about a project, `headrace-python` packages of
single assets, `headrace-erase` the erasure of one person's rows. Nothing here imports them, and all
works without them."""

WAY = [
    (
        "Declarations are read",
        "`compiler.project_files`, `model.linking`",
        "Files become a validated `Project`, or a list of problems with file and line.",
    ),
    (
        "A change is planned",
        "`compiler.compiling`, `plan.project_plan`",
        "The project is compared with what is applied. The plan is one value with a `plan_id`.",
    ),
    (
        "The plan is applied",
        "`runtime.applied_versions`",
        "Declarations and code are stored by content. Runs use only what is stored.",
    ),
    (
        "A delivery is observed",
        "`runtime.observations`, `connect.files`",
        "The leader observes local folders, workers other sources. New arrivals are recorded.",
    ),
    (
        "The core decides",
        "`scheduler.core`",
        "A pure function of state, event and time returns commands: which attempts start.",
    ),
    (
        "The leader commits and sends",
        "`runtime.leader_loop`",
        "Decisions are committed first; then a task goes to a warm worker.",
    ),
    (
        "A worker ingests the delivery",
        "`runtime.steps.ingest`",
        "Raw bytes are kept, parsed, compared with the contract and staged as Parquet.",
    ),
    (
        "A worker computes an asset",
        "`runtime.steps.compute`, `engine.compute`",
        "SQL, Python or a command reads published tables; its result is staged.",
    ),
    (
        "A worker audits the staged file of either",
        "`checks.audit`, `checks.anomalies`",
        "Checks, and the profile compared with the history, give a verdict.",
    ),
    (
        "The leader publishes",
        "`runtime.publishing`, `lake.catalog`",
        "Data files, verdict, attempt and audit trail become visible in one transaction.",
    ),
    (
        "Service levels are evaluated",
        "`runtime.evaluation`, `slo.evaluation`",
        "Obligations that became due or were met, the delay ledger, causes and incidents.",
    ),
    (
        "A consumer's export is written",
        "`runtime.exports`, `connect.exports`",
        "Published rows go to the consumer's file or table.",
    ),
    (
        "Readers ask",
        "`services`",
        "The command line, the HTTP API and `headrace.Session` call the same functions.",
    ),
]

PROCESSES = [
    (
        "leader",
        "`runtime.leader`",
        (
            "Holds the lease and the state. Decides, commits, publishes. Never loads DuckDB and"
            " never runs code of assets."
        ),
    ),
    ("HTTP server", "`web.server`", "A thread of `headrace serve` with connections of its own."),
    ("fork server", "`runtime.fork_server`", "Has imported what workers need, and forks them."),
    (
        "worker",
        "`runtime.worker`",
        "Observes remote sources, ingests, computes, audits and exports. Never sees the state.",
    ),
    (
        "file parser",
        "`connect.parser_process`",
        "Parses files in formats whose parsers might crash or need too much memory.",
    ),
    ("lake maintenance", "`lake.maintenance`", "Merges and expires files with DuckLake's own SQL."),
    (
        "merging of small files",
        "`runtime.slice_process`",
        "Writes small files of a table as one, at low priority. Never sees the state.",
    ),
    (
        "notification sender",
        "`integrations.notifications.process`",
        "Sends messages, so that a slow channel delays nothing.",
    ),
]

CROSSCUTTING = """- **State and lake are one database.** `store` opens it and `lake.catalog` writes
  DuckLake's tables in the same transaction, so state and data can't disagree.
- **One leader.** Only the process with the lease changes state and data. A command takes the
  lease itself, or, where a server leads, writes a request (`store.requests`) and waits for its
  answer.
- **Every number has one derivation.** `slo.evaluation` evaluates a project at one point in time;
  status, pages, messages and metrics read that value.
- **Logic is pure.** `model`, `sql`, `plan` and `scheduler` import no database, no network, no
  files, no processes, no clock and no random numbers (`make lint` checks it). The simulator runs
  the real scheduler in simulated worlds ([Simulation](simulation.md))."""


def page(root: Path) -> str:
    """The page."""
    layers = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"][0]["layers"]
    rows = [[name.strip("() ") for name in layer.split("|")] for layer in layers]
    present = [
        [name for name in row if (root / "src/headrace" / name / "__init__.py").exists()]
        for row in rows
    ]
    present = [row for row in present if row]
    names = [name for row in present for name in row]
    sentences = [
        (f"`{name}`", _sentence(root / "src/headrace" / name / "__init__.py")) for name in names
    ]
    return written(
        "Architecture",
        LEAD,
        [
            "## Packages",
            "",
            PACKAGES,
            "",
            *_picture(present),
            "",
            *table(("package", "what it is for"), sentences),
        ],
        ["## From declaration to reader", "", *table(("step", "code", "what happens"), WAY)],
        ["## Processes", "", *table(("process", "code", "what it does"), PROCESSES)],
        ["## Rules that hold everywhere", "", CROSSCUTTING],
    )


def _picture(rows: list[list[str]]) -> list[str]:
    """The layers, top to bottom, as boxes."""
    inner = max(len("   ".join(row)) for row in rows) + 4
    lines = [f"┌{'─' * inner}┐"]
    for number, row in enumerate(rows):
        if number:
            lines.append(f"├{'─' * inner}┤")
        lines.append(f"│{'   '.join(row).center(inner)}│")
    lines.append(f"└{'─' * inner}┘")
    return [f"    {line}" for line in lines]


def _sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ")
