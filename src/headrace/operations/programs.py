"""Programs and scripts of command assets that aren't there: their attempts would fail one by one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headrace.model import Asset, CommandBody, Place, Problem, ProblemLevel, Project
from headrace.model.reporting import shown
from headrace.model.scripts import script_of
from headrace.plan import Compilation


def with_programs(compilation: Compilation, root: Path) -> Compilation:
    """The compilation with an error for each program and script that a command names and that isn't there.

    Where another machine runs attempts (Dask), a program that isn't installed here is a warning.
    """
    project = compilation.project
    if project is None:
        return compilation
    problems = [problem for asset in project.assets.values() for problem in _missing(asset, project, root)]
    if not problems:
        return compilation
    failed = any(problem.level is ProblemLevel.ERROR for problem in problems)
    return msgspec.structs.replace(
        compilation,
        compiled=None if failed else compilation.compiled,
        partial=compilation.compiled or compilation.partial,
        problems=[*compilation.problems, *problems],
    )


def _missing(asset: Asset, project: Project, root: Path) -> Iterator[Problem]:
    if not isinstance(asset.body, CommandBody) or not asset.body.command:
        return
    place = Place(file=asset.body.file, line=asset.body.line)
    program, script = asset.body.command[0], script_of(asset.body.command)
    message = _wrong_program(program, root)
    if message:
        elsewhere = project.settings.executor == "dask" and "/" not in program
        if " " in program:
            hint = 'a command is a list of words: ["dbt", "run"]; a line of a shell is ["sh", "-c", "…"]'
        elif "/" in program:
            hint = "correct the path, or make it executable (chmod +x)"
        else:
            hint = "install it where attempts run, or write its path"
        level = ProblemLevel.WARNING if elsewhere else ProblemLevel.ERROR
        yield Problem(code="missing_program", message=f"{shown(asset.name)}: {message}", hint=hint, place=place, level=level)
    if script is not None and not (root / script).is_file():
        text = f"{shown(asset.name)}: there is no script {shown(script)} in the project"
        hint = "paths of a command are relative to the project's folder, where headrace.toml is"
        yield Problem(code="missing_program", message=text, hint=hint, place=place)


def _wrong_program(program: str, root: Path) -> str:
    """What keeps a program from being started; empty where nothing does."""
    if "/" not in program:
        path = os.environ.get("PATH", os.defpath)
        return "" if shutil.which(program, path=path) else f"there is no program {shown(program)} on the PATH"
    result = root / program
    if not result.is_file():
        return f"there is no program {shown(program)}"
    return "" if os.access(result, os.X_OK) else f"the program {shown(program)} isn't executable"
