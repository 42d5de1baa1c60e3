"""`headrace ci`: what a change does, on a terminal and as a comment on a pull request."""

from __future__ import annotations

import enum
import os
import sys
from typing import Annotated

from headrace.cli.commands.plans import render_differences, render_plan
from headrace.cli.plan_markdown import annotated, annotation
from headrace.extension import (
    CommandOutput,
    HeadraceError,
    Invocation,
    Option,
    command_line,
    terminal_command,
)
from headrace_testing.responses import CiResponse


class CiFormat(enum.StrEnum):
    """What is printed: for a terminal, a comment, or annotations of GitHub with the comment."""

    TEXT = "text"
    MARKDOWN = "markdown"
    GITHUB = "github"


@terminal_command(
    "headrace_testing.services.ci:ci",
    group="change",
    summary="try a change out as a pull request's check: tests, plan, rows",
)
def ci_command(
    invocation: Invocation,
    *,
    against: str | None,
    form: Annotated[
        CiFormat,
        Option(
            "--format",
            metavar="text|markdown|github",
            help="markdown: a comment; github: annotations, and the comment",
        ),
    ] = CiFormat.TEXT,
    comment: Annotated[
        bool,
        Option("--comment", help="in a job of GitHub, GitLab, Azure: keep one on the pull request"),
    ] = False,
) -> int:
    """Validate the files, run the unit tests, build what changed in the environment `ci`, and
    compare its rows with production's. Production and its exports stay as they are.

    Where nothing is applied on this machine, production is first built from the files that git has
    at --against, in a temporary folder. The exit code is 1 for an error, a test that doesn't pass,
    and data that can't be published.
    """
    from headrace_testing.cli.comments import comments_of
    from headrace_testing.services.ci import ci

    comments = comments_of(os.environ) if comment else None
    project = invocation.session.settings.name
    response = ci(invocation.session, against=against, progress=invocation.progress())
    if form is CiFormat.TEXT or invocation.options.json:
        invocation.show(response, _render)
    else:
        if form is CiFormat.GITHUB:
            sys.stdout.write(_annotations(response))
        sys.stdout.write(response.markdown)
    if comments is not None:
        try:
            comments.publish(response.markdown, project)
        except HeadraceError as error:  # the result counts, and its comment may be forbidden
            invocation.note(f"no comment: {error}; {error.hint}")
    return int(not response.ok)


def _annotations(response: CiResponse) -> str:
    problems = [
        annotation(row.severity, row.file, row.line, row.code, row.message)
        for row in response.validate.problems
    ]
    tests = [
        annotation("error", row.file, row.line, row.test, "the test doesn't pass")
        for row in response.tests
        if row.state != "passed"
    ]
    plan = "" if response.plan is None else annotated(response.plan)
    return "".join(f"{line}\n" for line in [*problems, *tests]) + plan


def _render(response: CiResponse, page: CommandOutput) -> None:
    from headrace_testing.cli.tests import render_tests
    from headrace_testing.services.ci import summary

    for problem in response.validate.problems:
        style = "bad" if problem.severity == "error" else "warn"
        page.say(f"{problem.file}:{problem.line}  {problem.message}", style)
        page.say(f"hint: {problem.hint}", "dim", indent=4)
    failed = [row for row in response.tests if row.state != "passed"]
    if failed:
        render_tests(failed, page)
    for built in response.built:
        for row in built.failures:
            page.say(f"✗ {row.asset}@{row.partition} {row.state}: {row.reason}", "bad")
    if response.plan is not None:
        page.say()
        render_plan(response.plan, page)
        render_differences(response.diff, page)
    if response.not_built is not None:
        page.say(f"nothing was built: {response.not_built}", "warn")
    page.say()
    first, *others = summary(response)
    mark, style = ("✓", "good") if response.ok else ("✗", "bad")
    page.facts(f"{mark} {first}", *others, style=style)
    page.next(_next(response))


def _next(response: CiResponse) -> str:
    if not response.validate.ok:
        return "headrace validate"
    if any(row.state != "passed" for row in response.tests):
        return "headrace test"
    failures = [row for built in response.built for row in built.failures]
    if failures:
        return command_line("try", f"{failures[0].asset}@{failures[0].partition}")
    return "headrace apply"
