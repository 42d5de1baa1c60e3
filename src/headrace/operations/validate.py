"""`validate`: every problem of a project's files at once; nothing is run."""

from __future__ import annotations

from headrace.model import HeadraceError, Problem, ProblemLevel
from headrace.operations.binding import VALIDATE_SECONDS, BindingResult, bind
from headrace.operations.editable_packages import with_editable_packages
from headrace.operations.programs import with_programs
from headrace.operations.progress import Progress
from headrace.operations.responses import BindingCounts, Counts, ProblemRow, ValidateResponse
from headrace.operations.session import InvalidProject, ProjectSession
from headrace.operations.short_secrets import short_secrets
from headrace.plan import Compilation


def validate(session: ProjectSession, *, progress: Progress, bind_all: bool = False) -> ValidateResponse:
    """All problems, errors first, then by file and line. Counts are 0 where nothing could be linked.

    DuckDB binds SQL statements for about a second, and the next call goes on from there; `bind_all` binds all of them.
    """
    understood = with_programs(_understood(session, progress), session.root)
    understood = with_editable_packages(understood, session.root)
    binding = _bound(session, understood, bind_all=bind_all)
    compilation = binding.compilation
    project = compilation.project
    short = short_secrets(project, session.root) if project else []
    problems = sorted([*compilation.problems, *short], key=_order)
    return ValidateResponse(
        ok=all(problem.level is not ProblemLevel.ERROR for problem in problems),
        counts=Counts(
            sources=len(project.sources) if project else 0,
            assets=len(project.assets) if project else 0,
            consumers=len(project.consumers) if project else 0,
            contracts=len(project.contracts) if project else 0,
        ),
        problems=[_row(problem) for problem in problems],
        binding=BindingCounts(statements=binding.statements, bound=binding.statements - binding.left, left=binding.left),
    )


def _bound(session: ProjectSession, compilation: Compilation, *, bind_all: bool) -> BindingResult:
    try:
        folder = session.data_folder / "cache"
    except HeadraceError:  # headrace.toml can't be read, which is among the problems
        return BindingResult(compilation, 0, 0)
    return bind(compilation, folder, seconds=None if bind_all else VALIDATE_SECONDS)


def _understood(session: ProjectSession, progress: Progress) -> Compilation:
    """What the files say; where headrace.toml itself can't be read, without what was learnt and kept in the place that it names."""
    try:
        return session.declared(progress)
    except InvalidProject:
        from headrace.plan import compile_project

        return compile_project(session.root)


def _order(problem: Problem) -> tuple[bool, str, int, str]:
    return problem.level is not ProblemLevel.ERROR, problem.place.file, problem.place.line, problem.message


def _row(problem: Problem) -> ProblemRow:
    return ProblemRow(
        severity=problem.level.value,
        code=problem.code,
        message=problem.message,
        hint=problem.hint,
        file=problem.place.file,
        line=problem.place.line,
    )
