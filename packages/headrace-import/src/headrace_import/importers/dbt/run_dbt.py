"""Runs the user's own dbt to compile a project, if the import is asked to (`--with-dbt`)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headrace.extension import HeadraceError, ProjectError
from headrace_import.importers.dbt.compiled import CompiledProject, DbtManifest, DbtResults

DBT_SECONDS_MAX = 1800.0
_LINES_MAX = 12
_OPTIONS = ("--no-use-colors", "--no-send-anonymous-usage-stats")
_COMPILE = ("--full-refresh", "--no-populate-cache", "--no-partial-parse")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def compile_project(root: Path, *, seconds: float = DBT_SECONDS_MAX) -> CompiledProject:
    """Compile the project in `root` with the program `dbt`, and return what came out.

    dbt writes into a temporary folder; it uses the profile, target and environment that it would
    use in `root`, and asks the warehouse what the project's templates ask. A template that it can't
    compile is an entry of `errors`. Raise HeadraceError if there is no dbt, if it takes longer than
    `seconds`, or if it compiled nothing.
    """
    program = shutil.which("dbt")
    if program is None:
        raise HeadraceError(
            "--with-dbt needs dbt, and there is no program `dbt` on the PATH",
            hint="activate the environment that has dbt, or import without --with-dbt",
        )
    with tempfile.TemporaryDirectory(prefix="headrace-dbt-") as folder:
        output = _run(program, root, Path(folder), seconds)
        return _read(Path(folder), output)


def _run(program: str, root: Path, folder: Path, seconds: float) -> str:
    """Run `dbt compile`, and return what it printed."""
    command = [
        *(program, *_OPTIONS, "--log-path", str(folder / "logs"), "compile", *_COMPILE),
        *("--project-dir", str(root), "--target-path", str(folder)),
    ]
    with (folder / "output").open("w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise HeadraceError(
                f"dbt compile wasn't done after {seconds:.0f} s, and was ended",
                hint="see what it waits for: dbt compile in its project",
            ) from None
        finally:
            _end(process)
        output.seek(0)
        return output.read().decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End dbt and what it started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(folder: Path, output: str) -> CompiledProject:
    """Return what dbt wrote. Raise ProjectError if it compiled nothing."""
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=DbtManifest)
    except FileNotFoundError:
        raise _failed(output) from None
    except (OSError, msgspec.DecodeError) as error:
        raise ProjectError(
            f"the manifest that dbt wrote can't be read: {error}",
            hint="import without --with-dbt, or with another version of dbt",
        ) from error
    errors = _errors(folder)
    project = CompiledProject(manifest, errors)
    if not project.templates and manifest.nodes:
        raise _failed(output)
    return project


def _errors(folder: Path) -> Mapping[str, str]:
    """Return why dbt couldn't compile some nodes, by unique id."""
    try:
        content = (folder / "run_results.json").read_bytes()
        results = msgspec.json.decode(content, type=DbtResults).results
    except (OSError, msgspec.DecodeError):
        return {}
    return {
        row.unique_id: " ".join((row.message or row.status).split())[:200]
        for row in results
        if row.status != "success"
    }


def _failed(output: str) -> ProjectError:
    lines = [line.rstrip() for line in _ANSI.sub("", output).splitlines() if line.strip()]
    last = "\n".join(f"  {line[:200]}" for line in lines[-_LINES_MAX:]) or "  (it printed nothing)"
    return ProjectError(
        f"dbt compile failed, and nothing was imported; its last lines:\n{last}",
        hint="correct it there (dbt debug, dbt deps), or import without --with-dbt",
    )
