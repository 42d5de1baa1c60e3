"""`init`: a new project that runs, from a template or from files."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace.model import HeadraceError, ProjectError, UsageError
from headrace.operations import derive, schema
from headrace.operations.derive import FileGroup, InferredColumns
from headrace.operations.learning import learn
from headrace.operations.responses import InitResponse
from headrace.operations.starter import IGNORED, OWNERS, NewFile, settings, starter

SETTINGS_FILE = "headrace.toml"


def init(directory: Path, files: Sequence[Path]) -> InitResponse:
    """Writes a project into `directory`, which is made where it isn't there, and says what to type next.

    Nothing is ever overwritten: ProjectError where a project or a file is there already, and then nothing is written.
    UsageError for files that can't be read.
    """
    if (directory / SETTINGS_FILE).exists():
        raise ProjectError(
            f"{directory / SETTINGS_FILE} is there already: this is a project", hint="headrace status, or name another folder"
        )
    name, timezone = _project_name(directory), machine_timezone()
    if not files:
        return _written(
            directory, starter(name, timezone, datetime.now(UTC)), {}, ["orders"], ["orders_clean", "daily_revenue"], ["morning-report"], []
        )
    groups = derive.groups([_readable(path) for path in files])
    learnt = [learn(group) for group in groups]
    new, copies = _derived(directory, name, timezone, list(zip(groups, learnt, strict=True)))
    return _written(
        directory, new, copies, [group.name for group in groups], [f"{group.name}_clean" for group in groups],
        [f"{group.name}-report" for group in groups], [note for group in groups for note in group.notes],
    )  # fmt: skip


def _derived(
    directory: Path, name: str, timezone: str, sources: list[tuple[FileGroup, InferredColumns]]
) -> tuple[dict[str, NewFile], dict[str, Path]]:
    """Path → new text, and path → file to be copied there; files that lie in landing/ already stay."""
    texts = {SETTINGS_FILE: settings(name, timezone), ".gitignore": IGNORED, "owners.yaml": OWNERS}
    copies: dict[str, Path] = {}
    for group, learnt in sources:
        texts[f"sources/{group.name}.yaml"] = derive.source_yaml(group)
        texts[f"contracts/{group.name}.odcs.yaml"] = derive.contract_yaml(group, learnt)
        texts[f"assets/{group.name}_clean.sql"] = derive.asset_sql(group, learnt)
        for landed, path in group.files.items():
            if path.resolve() != (directory / "landing" / landed).resolve():
                copies[f"landing/{landed}"] = path
    texts["consumers.yaml"] = "\n".join(derive.consumer_yaml(group) for group, _ in sources)
    return {path: NewFile(text.encode()) for path, text in texts.items()}, copies


def _written(
    directory: Path,
    new: dict[str, NewFile],
    copies: dict[str, Path],
    sources: list[str],
    assets: list[str],
    consumers: list[str],
    notes: list[str],
) -> InitResponse:
    new = {**new, **_for_editors(directory)}
    there = [path for path in [*new, *copies] if os.path.lexists(directory / path) and path != ".gitignore"]
    if there:
        raise ProjectError(
            f"{directory / there[0]} is there already, and nothing is ever overwritten", hint="name an empty folder: headrace init DIR"
        )
    paths: list[Path] = []
    try:
        for path, file in new.items():
            _write(directory / path, file, paths)
        for path, source in copies.items():
            _copy(source, directory / path, paths)
    except OSError as error:
        for file_made in paths:
            file_made.unlink(missing_ok=True)
        raise HeadraceError(
            f"{error.filename or directory} can't be written: {error.strerror}", hint="nothing was left behind; name another folder"
        ) from error
    enter = "" if directory.resolve() == Path.cwd() else f"cd {shlex.quote(str(directory))} && "
    return InitResponse(
        directory=str(directory), files=sorted([*new, *copies]), sources=sources, assets=assets, consumers=consumers, notes=notes,
        next=f"{enter}headrace tick",
    )  # fmt: skip


def _for_editors(directory: Path) -> dict[str, NewFile]:
    """JSON Schemas, and the settings that use them; what an editor has written there already stays."""
    texts = schema.files()
    return {path: NewFile(text.encode()) for path, text in texts.items() if not os.path.lexists(directory / path)}


def _write(path: Path, file: NewFile, paths: list[Path]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == ".gitignore" and path.exists():
        return
    with path.open("xb") as out:
        paths.append(path)
        out.write(file.data)
    if file.modified is not None:
        os.utime(path, (file.modified, file.modified))


def _copy(source: Path, path: Path, paths: list[Path]) -> None:
    """Whole or not at all, with its modification time, which says when it was delivered."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    os.close(handle)
    try:
        shutil.copyfile(source, part)
        shutil.copystat(source, part)
        Path(part).chmod(0o644)
        os.link(part, path)
        paths.append(path)
    finally:
        Path(part).unlink(missing_ok=True)


def _readable(path: Path) -> Path:
    if not path.exists():
        raise UsageError(f"there is no file {path}", hint="--from takes files: headrace init DIR --from orders.csv")
    if not path.is_file():
        raise UsageError(f"{path} is no file", hint=f"name the files in it: --from {path}/*")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} can't be read", hint="look at its permissions")
    return path


def _project_name(directory: Path) -> str:
    """The folder's name, as far as it can be a project's."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", directory.resolve().name).strip("-")[:60] or "project"


def machine_timezone() -> str:
    """The machine's zone as an IANA name; UTC where it can't be told."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    with contextlib.suppress(OSError):
        candidates.append(str(Path("/etc/localtime").readlink()).partition("zoneinfo/")[2])
    for name in candidates:
        try:
            if name and "/" in name:
                return "UTC" if name in ("Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu") else ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return "UTC"
