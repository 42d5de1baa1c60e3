"""The project at a commit, branch or tag of its git repository, without fetching from a remote."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.compiler.compiling import compile_project
from headrace.model import ProjectError, UsageError
from headrace.plan import Compiled
from headrace.project.session import ProjectSession

SECONDS_MAX = 120
FILES_MAX = 100_000
BYTES_MAX = 1 << 30
_LOCAL = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}


def compiled_at(session: ProjectSession, reference: str) -> Compiled:
    """Return the project compiled at `reference`.

    Raise UsageError for an unknown reference, ProjectError if the files had errors or git is
    missing.
    """
    with checked_out(session.root, reference) as folder:
        compilation = compile_project(
            folder,
            cache=session.data_folder / "cache" / "against",
            environment=session.env,
            learnt=session.learnt(),
        )
    if compilation.compiled is None:
        raise ProjectError(
            f"at {reference} the project has"
            f" {len([problem for problem in compilation.problems if problem.level == 'error'])}"
            " errors",
            hint="compare with a commit at which `headrace validate` finds none",
        )
    return compilation.compiled


@contextmanager
def checked_out(root: Path, reference: str) -> Iterator[Path]:
    """Yield the project's files at a reference, in a temporary folder."""
    revision = f"{reference}^{{commit}}"
    possible = "\0" not in reference  # a program's argument can't contain NUL
    if not possible or not (
        commit := git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
    ):
        raise UsageError(
            f"git knows no {reference[:80]!r} here",
            hint="a branch, a tag or a commit that is on this machine: git fetch first",
        )
    with tempfile.TemporaryDirectory(prefix="headrace-against-") as folder:
        archive = Path(folder, "project.tar")
        git(
            root, "archive", "--format=tar", f"--output={archive}", commit
        )  # the project's folder, wherever in the repository
        target = Path(folder, "project")
        target.mkdir()
        _unpack(archive, target, reference)
        if not (target / "headrace.toml").is_file():
            raise UsageError(
                f"at {reference[:80]} there is no headrace.toml here",
                hint="compare with a later commit",
            )
        yield target


def _unpack(archive: Path, target: Path, reference: str) -> None:
    """Unpack an archive. Raise ProjectError if it is too large for a project."""
    files = size = 0
    with tarfile.open(archive) as packed:
        for item in packed:
            files, size = files + 1, size + item.size
            if files > FILES_MAX or size > BYTES_MAX:
                raise ProjectError(
                    f"at {reference} the project has more than {FILES_MAX:,} files or 1 GiB",
                    hint="keep data out of git",
                )
            if item.isdir():
                _below(target, item.name).mkdir(parents=True, exist_ok=True)
            elif item.isfile():
                _extract(packed, item, _below(target, item.name))


def _below(target: Path, name: str) -> Path:
    """Return the place of an archive's member. Raise ProjectError if it isn't below `target`."""
    path = (target / name).resolve()
    if not path.is_relative_to(target.resolve()):
        raise ProjectError(f"git's archive has a file outside of the project: {name[:80]!r}")
    return path


def _extract(packed: tarfile.TarFile, item: tarfile.TarInfo, path: Path) -> None:
    """Write a regular file. (The filters of `tarfile` came with Python 3.11.4.)"""
    content = packed.extractfile(item)
    assert content is not None, "a regular file has content"
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o600 | item.mode & 0o755)


def git(root: Path, *arguments: str) -> str:
    """Return git's output; empty for an unknown reference.

    Raise ProjectError if git is missing or doesn't end in time, UsageError for its other errors.
    """
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
            env={**os.environ, **_LOCAL},
        )
    except FileNotFoundError:
        raise ProjectError(
            "--against needs git, which isn't installed here",
            hint="install git, or leave --against away",
        ) from None
    except subprocess.TimeoutExpired:
        raise ProjectError(
            f"git took longer than {SECONDS_MAX} s", hint="try `git status` in the project's folder"
        ) from None
    text = done.stderr.decode(errors="replace").strip()
    if done.returncode and (text or arguments[0] != "rev-parse"):
        raise UsageError(
            "git can't say what the project was:"
            f" {text.splitlines()[-1][:200] if text else 'no reason given'}",
            hint="git log",
        )
    return done.stdout.decode(errors="surrogateescape").strip()
