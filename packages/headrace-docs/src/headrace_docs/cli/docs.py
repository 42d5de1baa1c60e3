"""`headrace docs`: files that describe the project."""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from headrace.extension import (
    Argument,
    CommandGroup,
    CommandOutput,
    Invocation,
    Option,
    counted,
    terminal_command,
)
from headrace_docs.exchange.formats import FORMATS
from headrace_docs.responses.comparison import ProjectComparison
from headrace_docs.responses.description import ExchangeResponse, SiteResponse
from headrace_docs.responses.flow import FlowResponse

As = Annotated[
    str | None,
    Option(
        "--as",
        metavar="ROLE[:SCOPE]",
        help="with the rights of a role, such as viewer:domain=sales (default: yours)",
    ),
]


@terminal_command("headrace_docs.services.describe:describe")
def _build(
    invocation: Invocation,
    out: Annotated[
        Path | None,
        Option("--out", metavar="DIR", help="where it is written (default: target/docs)"),
    ] = None,
    role: As = None,
    window: str = "30d",
) -> int:
    """Write a site about the project: what is applied, how it stands, which promises are kept.

    It opens from the folder, without a server or a network. It has what you may see, and no values
    of rows.
    """
    from headrace_docs.services.site import build_site, described_as

    session = invocation.session
    described = described_as(session, role, window)
    folder = out if out is not None else session.root / "target/docs"
    invocation.show(build_site(session, folder, described), _render_site)
    return 0


@terminal_command("headrace_docs.services.describe:describe")
def _publish(
    invocation: Invocation,
    dest: Annotated[
        str,
        Argument("DEST", help="a folder, or the address of one in an object store: s3://, gs://"),
    ],
    connection: Annotated[
        str | None, Option("--connection", metavar="NAME", help="how the object store is reached")
    ] = None,
    role: As = None,
    window: str = "30d",
) -> int:
    """Write the site where others read it: only files that changed, and without stale ones.

    A folder is replaced in one step. In an object store no link leads nowhere meanwhile.
    """
    from headrace_docs.services.site import described_as, publish_site

    described = described_as(invocation.session, role, window)
    response = publish_site(invocation.session, dest, connection, described)
    invocation.show(response, _render_site)
    return 0


@terminal_command("headrace_docs.services.describe:describe")
def _serve(
    invocation: Invocation,
    port: Annotated[
        int, Option("--port", metavar="N", least=0, help="of 127.0.0.1; 0 is a free one (8788)")
    ] = 8788,
    role: As = None,
    window: str = "30d",
) -> int:
    """Build the site, and serve it to browsers of this machine until Ctrl-C.

    It is of the moment at which the command began.
    """
    from headrace_docs.services.server import HOST, site_server
    from headrace_docs.services.site import build_site, described_as

    session = invocation.session
    described = described_as(session, role, window)
    with (
        tempfile.TemporaryDirectory(prefix="headrace-docs-") as name,
        site_server(Path(name) / "site", port) as server,
    ):
        response = build_site(session, Path(name) / "site", described)
        address = f"http://{HOST}:{server.server_port}"
        invocation.show(msgspec.structs.replace(response, folder=address), _render_served)
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def _render_served(response: SiteResponse, page: CommandOutput) -> None:
    page.say(f"✓ {response.folder}/ until Ctrl-C", "good")
    _render_facts(response, page)


def _render_site(response: SiteResponse, page: CommandOutput) -> None:
    page.say(f"✓ {response.folder}/index.html", "good")
    _render_facts(response, page, f"{response.changed:,} changed, {response.removed:,} removed")


def _render_facts(response: SiteResponse, page: CommandOutput, *more: str) -> None:
    page.facts(
        counted(response.pages, "page"),
        f"{response.bytes / 1e6:,.1f} MB",
        *more,
        f"as of {response.at:%Y-%m-%d %H:%M}",
        "nothing applied" if response.version is None else f"version {response.version}",
        f"for {response.reader}",
    )
    for row in response.problems:
        page.say(f"{row.severity}: {row.file}:{row.line}: {row.message}", "warn")


@terminal_command("headrace_docs.services.flow:flow")
def _diagram(
    invocation: Invocation,
    subject: Annotated[str, Argument("DOMAIN|CONSUMER", help="what the diagram is around")],
    language: str = "mermaid",
    window: str = "30d",
) -> int:
    """Print which data flowed through a domain, or to a consumer, as the text of a diagram.

    What ran in the window is solid with its rows, what ran before it grey, what never ran dashed,
    and what ran and is no longer declared is red.
    """
    from headrace_docs.services.flow import drawn, flow

    response = drawn(flow(invocation.session, subject, language, window))
    invocation.show(response, _render_diagram)
    return 0


def _render_diagram(response: FlowResponse, page: CommandOutput) -> None:
    del page  # a diagram is for a program: nothing is wrapped or coloured
    sys.stdout.write(response.diagram)


@terminal_command("headrace_docs.services.exchange:exchanged")
def _export(
    invocation: Invocation,
    name: Annotated[str, Argument("FORMAT", help=", ".join(FORMATS))],
    out: Annotated[
        Path | None,
        Option(
            "--out", metavar="DIR", help="where it is written (default: target/exchange/FORMAT)"
        ),
    ] = None,
    role: As = None,
) -> int:
    """Write the project in the format of another tool: what is applied, and how it stands.

    It has what you may see, and no values of rows.
    """
    from headrace_docs.services.exchange import export_project

    session = invocation.session
    folder = out if out is not None else session.root / "target/exchange" / name
    invocation.show(export_project(session, name, folder, role), _render_exchange)
    return 0


def _render_exchange(response: ExchangeResponse, page: CommandOutput) -> None:
    for name in response.files:
        page.say(f"✓ {response.folder}/{name}", "good")
    page.facts(
        f"as of {response.at:%Y-%m-%d %H:%M}",
        "nothing applied" if response.version is None else f"version {response.version}",
        f"for {response.reader}",
    )


@terminal_command("headrace_docs.services.comparison:compared_periods")
def _diff(
    invocation: Invocation,
    before: str,
    after: str = "now",
    out: Annotated[
        Path | None, Option("--out", metavar="DIR", help="where a page to be printed is written")
    ] = None,
    role: As = None,
    window: str = "30d",
) -> int:
    """Show what changed between two versions or times, who decided it, and whether it helped.

    The period of a version is the time in which it was applied, of a date or time the window before
    it. A figure is better or worse if its median by day is outside of all days before.
    """
    from headrace_docs.services.comparison import compared_periods
    from headrace_docs.services.folders import write_folder
    from headrace_docs.services.site import reader_as
    from headrace_docs.site.comparison_page import comparison_page

    session = invocation.session
    reader = reader_as(session, role)
    response = compared_periods(session, before, after, window=window, reader=reader)
    if out is not None:
        write_folder(session, out, "docs diff", [("comparison.html", comparison_page(response))])
    invocation.show(response, _render_comparison)
    return 0


def _render_comparison(response: ProjectComparison, page: CommandOutput) -> None:
    from headrace_docs.site.comparison_page import spread_text

    for name, period in (("before", response.before), ("after", response.after)):
        bounds = f"{period.since:%Y-%m-%d %H:%M} to {period.until:%Y-%m-%d %H:%M}"
        page.facts(f"{name}: {period.point}", bounds)
    for each in response.figures:
        style = {"better": "good", "worse": "warn"}.get(each.verdict, "")
        page.say(f"{each.figure}: {each.verdict}", style)
        page.say(f"{spread_text(each.before)} → {spread_text(each.after)}", indent=2)
    for change in response.decisions or ():
        files = len(change.added) + len(change.changed) + len(change.removed)
        page.say(
            f"version {change.version} by {change.by}, {change.at:%Y-%m-%d %H:%M},"
            f" {counted(files, 'file')}"
        )


docs_command = CommandGroup(
    "Files that describe the project, made of what is applied and what ran.",
    {
        "build": _build,
        "diagram": _diagram,
        "diff": _diff,
        "export": _export,
        "publish": _publish,
        "serve": _serve,
    },
    group="look",
    summary="write a site about the project, made of what is applied and what ran",
)
