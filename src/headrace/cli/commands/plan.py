"""`headrace plan`."""

from __future__ import annotations

import enum
import os
import sys
from pathlib import Path
from typing import Annotated

from headrace.cli import differing, planning
from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Option
from headrace.operations.responses import PlanResponse


class Form(enum.StrEnum):
    """How a plan is written down."""

    TEXT = "text"
    MARKDOWN = "markdown"
    GITHUB = "github"


def command(
    invocation: Invocation,
    against: Annotated[str | None, Option("--against", metavar="REF", help="a commit, branch or tag instead of what is applied")] = None,
    form: Annotated[Form, Option("--format", metavar="text|markdown|github", help="github: annotations and a job's summary")] = Form.TEXT,
    exit_code: Annotated[bool, Option("--exit-code", help="exit 1 where it breaks something for readers, or weakens a promise")] = False,
) -> int:
    """What the files change: of what, for whom, what becomes stale and what it takes. Writes nothing.

    With --env NAME the files are compared with production, and what is built in the environment with what production has.
    """
    from headrace.operations.plan import plan

    response = plan(invocation.session, against=against, progress=invocation.progress())
    if form is Form.TEXT or invocation.options.json:
        invocation.show(response, _render)
    else:
        _write(response, form)
    worse = any(change.breaking for change in response.changes) or bool(response.weakens)
    return 1 if exit_code and worse else 0


def _render(response: PlanResponse, page: CommandOutput) -> None:
    page.head(planning.identity(response) or "plan", f"against {response.against}" if response.against else "nothing is applied yet")
    if not response.changes and not response.steps:
        page.say("· nothing changes", "good")
        page.next(response.next)
        return
    page.say()
    planning.show(response, page)
    differing.show(response.diff or [], page)
    page.next(response.next)


def _write(response: PlanResponse, form: Form) -> None:
    from headrace.cli import plan_markdown

    text = plan_markdown.markdown(response)
    if form is Form.MARKDOWN:
        sys.stdout.write(text)
        return
    sys.stdout.write(plan_markdown.annotated(response))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
