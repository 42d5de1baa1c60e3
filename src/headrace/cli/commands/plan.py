"""`headrace plan`."""

from __future__ import annotations

import enum
import os
import sys
from pathlib import Path
from typing import Annotated

from headrace.cli import differing, planning
from headrace.cli.invocation import Invocation
from headrace.cli.page import Page
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

    document = plan(invocation.session, against=against, progress=invocation.progress())
    if form is Form.TEXT or invocation.options.json:
        invocation.show(document, _render)
    else:
        _write(document, form)
    worse = any(one.breaking for one in document.changes) or bool(document.weakens)
    return 1 if exit_code and worse else 0


def _render(document: PlanResponse, page: Page) -> None:
    page.head(planning.identity(document) or "plan", f"against {document.against}" if document.against else "nothing is applied yet")
    if not document.changes and not document.steps:
        page.say("· nothing changes", "good")
        page.next(document.next)
        return
    page.say()
    planning.show(document, page)
    differing.show(document.diff or [], page)
    page.next(document.next)


def _write(document: PlanResponse, form: Form) -> None:
    from headrace.cli import plan_markdown

    text = plan_markdown.markdown(document)
    if form is Form.MARKDOWN:
        sys.stdout.write(text)
        return
    sys.stdout.write(plan_markdown.annotated(document))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
