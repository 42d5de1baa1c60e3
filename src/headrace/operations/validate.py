"""`validate`: every problem of a project's files at once; nothing is run."""

from __future__ import annotations

from headrace.model import Level, Problem
from headrace.operations.documents import Counts, ProblemRow, ValidateDocument
from headrace.operations.progress import Progress
from headrace.operations.session import InvalidProject, Session
from headrace.operations.short_secrets import short_secrets
from headrace.plan import Compilation


def validate(session: Session, *, progress: Progress) -> ValidateDocument:
    """All problems, errors first, then by file and line. Counts are 0 where nothing could be linked."""
    compilation = _understood(session, progress)
    project = compilation.project
    short = short_secrets(project, session.root) if project else []
    problems = sorted([*compilation.problems, *short], key=_order)
    return ValidateDocument(
        ok=all(problem.level is not Level.ERROR for problem in problems),
        counts=Counts(
            sources=len(project.sources) if project else 0,
            assets=len(project.assets) if project else 0,
            consumers=len(project.consumers) if project else 0,
            contracts=len(project.contracts) if project else 0,
        ),
        problems=[_row(problem) for problem in problems],
    )


def _understood(session: Session, progress: Progress) -> Compilation:
    """What the files say; where headrace.toml itself can't be read, without what was learnt and kept in the place that it names."""
    try:
        return session.declared(progress)
    except InvalidProject:
        from headrace.plan import compile_project

        return compile_project(session.root)


def _order(problem: Problem) -> tuple[bool, str, int, str]:
    return problem.level is not Level.ERROR, problem.place.file, problem.place.line, problem.message


def _row(problem: Problem) -> ProblemRow:
    return ProblemRow(
        severity=problem.level.value,
        code=problem.code,
        message=problem.message,
        hint=problem.hint,
        file=problem.place.file,
        line=problem.place.line,
    )
