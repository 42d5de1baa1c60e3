"""`validate`: all problems of a project's files at once. Runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import msgspec

from headrace.access import policy_tests
from headrace.access.permissions import SEE, command, visible_of
from headrace.model import (
    Asset,
    HeadraceError,
    Place,
    Problem,
    ProblemLevel,
    Project,
    Source,
)
from headrace.model.errors import shown
from headrace.model.link_problems import ending_rules
from headrace.plan import Compilation
from headrace.plan.compiled import imported_packages
from headrace.privacy.mask_problems import mask_problems
from headrace.project.background_binding import bind_in_background
from headrace.project.diagnostics import (
    BOUND_AT_ONCE_MAX,
    VALIDATE_SECONDS,
    BindingResult,
    StartingWorker,
    bind,
    with_programs,
)
from headrace.project.parameters import Option
from headrace.project.session import InvalidProject, Progress, ProjectSession
from headrace.responses import BindingCounts, Counts, ProblemRow, ValidateResponse
from headrace.security.secrets import PROMISED_CHARACTERS_MIN, SecretMissing, Secrets, references_in

# Packages installed as a link to another folder: assets run whatever that folder holds now, and no
# change is noticed.

OURS = "headrace"
"""Headrace itself, which every asset may import; its own installation isn't checked."""
SOURCES = ("", "src")
"""Folders of the modules within an editable package."""


class Editable(msgspec.Struct, frozen=True):
    """An editable distribution, and its folder."""

    name: str
    folder: Path


def with_editable_packages(compilation: Compilation, root: Path) -> Compilation:
    """Return the compilation with a warning for each asset that imports an editable package.

    Packages within the project don't count.
    """
    compiled = compilation.compiled or compilation.partial
    if compiled is None:
        return compilation
    imported = {name: imported_packages(compiled.code, name) for name in compiled.code.starts}
    if not any(imported.values()):
        return compilation
    known = _editable(root.resolve())
    problems = [
        _problem(compiled.project.assets[asset], known[name])
        for asset, names in imported.items()
        for name in sorted(names)
        if name in known and known[name].name not in compiled.project.assets[asset].code_packages
    ]
    if not problems:
        return compilation
    return msgspec.structs.replace(compilation, problems=[*compilation.problems, *problems])


def _editable(root: Path) -> Mapping[str, Editable]:
    """Return top-level module → editable distribution, for those outside of the project."""
    editables: dict[str, Editable] = {}
    for distribution in metadata.distributions():
        folder = _folder(distribution)
        if (
            folder is None
            or distribution.metadata["Name"] == OURS
            or folder.is_relative_to(root)
            or root.is_relative_to(folder)
        ):
            continue
        for name in _modules(folder):
            editables.setdefault(name, Editable(distribution.metadata["Name"] or name, folder))
    return editables


def _folder(item: metadata.Distribution) -> Path | None:
    """Return the folder of an editable distribution (PEP 610); None for others."""
    try:
        direct_url = json.loads(item.read_text("direct_url.json") or "{}")
        url = urlsplit(direct_url["url"])
        editable = direct_url["dir_info"]["editable"] is True and url.scheme == "file"
    except (KeyError, TypeError, ValueError, OSError):
        return None
    return Path(unquote(url.path)).resolve() if editable else None


def _modules(folder: Path) -> Iterator[str]:
    for place in SOURCES:
        try:
            entries = sorted((folder / place).iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.suffix == ".py" and entry.stem.isidentifier():
                yield entry.stem
            elif entry.name.isidentifier() and (entry / "__init__.py").is_file():
                yield entry.name


def _problem(asset: Asset, editable: Editable) -> Problem:
    return Problem(
        code="editable_package",
        message=(
            f"{shown(asset.name)} imports {shown(editable.name)}, which is installed editable from "
            f"{editable.folder}: a change there runs at once, and no plan shows it"
        ),
        hint=(
            "install a built version, or keep its files in the project; "
            f"`code_packages: [{editable.name}]` says that its version is all that counts"
        ),
        place=asset.place,
        level=ProblemLevel.WARNING,
    )


# Secrets too short to be redacted cause a warning only, because replacing `abc` everywhere would
# hide other words.

_PORT = re.compile(r"(?:@|//)[^/@]*:(\$\{\w+\})(?=[/?]|$)")
"""A reference in the place of a URL's port, which isn't a secret, however short."""
_RESOLVED = ("secret://env/", "secret://file/", "${")
"""Others aren't: a keyring may ask the user to unlock it, and a manager is another server."""


def short_secrets(project: Project, root: Path) -> list[Problem]:
    """Return a warning for each resolvable secret with fewer than six characters."""
    secrets, problems = Secrets(root), {}
    ports = set(_ports(project.settings.connections))
    for reference, place in _declared(project):
        if reference in problems or reference in ports:
            continue
        if not reference.startswith(_RESOLVED):
            continue
        with suppress(SecretMissing):
            if 0 < len(secrets.resolved(reference)) < PROMISED_CHARACTERS_MIN:
                problems[reference] = Problem(
                    code="short_secret",
                    message=(
                        f"the value of {reference} has fewer than {PROMISED_CHARACTERS_MIN}"
                        " characters: logs and errors aren't reliably kept without it"
                    ),
                    hint="use a longer secret",
                    place=place,
                    level=ProblemLevel.WARNING,
                )
    return list(problems.values())


def _ports(connections: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    for connection in connections.values():
        for value in connection.values():
            if isinstance(value, str):
                yield from _PORT.findall(value)


def _declared(project: Project) -> Iterator[tuple[str, Place]]:
    settings, file = project.settings, Place(file="headrace.toml")
    for value in (
        settings.connections,
        settings.notify,
        settings.openlineage,
        settings.environments,
        settings.store_url,
    ):
        for reference in references_in(value):
            yield reference, file
    for asset in project.assets.values():
        yield from ((reference, asset.place) for reference in references_in(asset.secrets))
    for source in project.sources.values():
        yield from ((reference, source.place) for reference in references_in(source.connector))
    for consumer in project.consumers.values():
        yield from (
            (reference, consumer.place) for reference in references_in(consumer.export or {})
        )


@command(
    "validate",
    SEE,
    lists=True,
    http="GET /validate validate",
    of_files=True,
    group="change",
    summary="list the problems of the project's files; runs nothing",
)
def validate(
    session: ProjectSession,
    *,
    bind_all: Annotated[
        bool, Option("--bind", help="have DuckDB bind every SQL statement, however long it takes")
    ] = False,
    progress: Progress,
) -> ValidateResponse:
    """Report every problem of the project's files with its line and what to write instead.

    Nothing is run. Errors come first, then problems by file and line; counts are 0 if linking
    failed. DuckDB binds SQL statements for about a second; a background process binds the rest if
    there are many, and the next call continues.
    """
    with StartingWorker() as starting:
        understood = with_programs(_understood(session, progress, starting), session.root)
        understood = with_editable_packages(understood, session.root)
        binding = _bound(session, understood, starting, bind_all=bind_all)
    compilation = binding.compilation
    project = compilation.project
    more = _of_project(session, project) if project else []
    if compilation.compiled is not None:
        more += mask_problems(compilation.compiled, session.data_folder)
    problems = sorted([*compilation.problems, *more], key=_order)
    if session.visible is not None:
        return _of_visible_nodes(session, project, problems)
    return ValidateResponse(
        ok=all(problem.level is not ProblemLevel.ERROR for problem in problems),
        counts=_counts(project, None),
        problems=[_row(problem) for problem in problems],
        binding=BindingCounts(
            statements=binding.statements,
            bound=binding.statements - binding.left,
            left=binding.left,
        ),
    )


def _of_visible_nodes(
    session: ProjectSession, project: Project | None, problems: Sequence[Problem]
) -> ValidateResponse:
    """Return the problems of the files that declare visible nodes only, and count the others.

    A file that can't be read counts for the nodes that it declared when it was applied.
    """
    from headrace.access.visibility import HiddenNodes

    applied = session.project()
    nodes = applied.nodes()
    if project is not None:
        nodes += project.nodes()
    visible = visible_of(session, nodes)
    files: dict[str, bool] = {}
    for node in nodes:
        file = node.place.file
        files[file] = files.get(file, True) and node.name in visible
    hidden = HiddenNodes({node.name for node in nodes} - visible, visible)
    visible_problems = [problem for problem in problems if files.get(problem.place.file, False)]
    return ValidateResponse(
        ok=all(problem.level is not ProblemLevel.ERROR for problem in problems),
        counts=_counts(project, visible),
        problems=[hidden.without(_row(problem)) for problem in visible_problems],
        left_out=len(problems) - len(visible_problems),
    )


def _counts(project: Project | None, visible: Collection[str] | None) -> Counts:
    """Return how many of each kind a project declares, of the visible nodes (None: of all)."""
    if project is None:
        return Counts(sources=0, assets=0, consumers=0, contracts=0)
    if visible is None:
        contracts = len(project.contracts)
    else:
        tables: list[Source | Asset] = [*project.sources.values(), *project.assets.values()]
        names = {table.contract for table in tables if table.name in visible}
        contracts = len(names & project.contracts.keys())

    def count(names: Collection[str]) -> int:
        return len(names) if visible is None else sum(name in visible for name in names)

    return Counts(
        sources=count(project.sources),
        assets=count(project.assets),
        consumers=count(project.consumers),
        contracts=contracts,
    )


def _bound(
    session: ProjectSession,
    compilation: Compilation,
    starting: StartingWorker,
    *,
    bind_all: bool,
) -> BindingResult:
    try:
        folder = session.data_folder / "cache"
    except HeadraceError:  # headrace.toml can't be read, which is among the problems
        return BindingResult(compilation, 0, 0)
    if bind_all:
        return bind(compilation, folder, starting=starting)
    result = bind(
        compilation, folder, seconds=VALIDATE_SECONDS, new_max=BOUND_AT_ONCE_MAX, starting=starting
    )
    if result.left > BOUND_AT_ONCE_MAX:
        bind_in_background(folder)
    return result


def _of_project(session: ProjectSession, project: Project) -> list[Problem]:
    """Return the problems of secrets, of tests of the policy, and of rules that end."""
    problems = [
        *short_secrets(project, session.root),
        *policy_tests.problems(session, project),
    ]
    with suppress(InvalidProject):  # the clock is that of the settings, which may have errors
        problems += ending_rules(project.access, session.now().date())
    return problems


def _understood(
    session: ProjectSession, progress: Progress, starting: StartingWorker
) -> Compilation:
    """Return the compilation of the files.

    If headrace.toml can't be read, it lacks learnt schemas, because their location is unknown.
    DuckDB starts meanwhile if it will be needed.
    """

    def changed(texts: int) -> None:
        if texts <= BOUND_AT_ONCE_MAX:
            starting.start()

    try:
        return session.declared(progress, changed)
    except InvalidProject:
        from headrace.compiler.compiling import compile_project

        return compile_project(session.root)


def _order(problem: Problem) -> tuple[bool, tuple[bool, str, int, str, str]]:
    return problem.level is not ProblemLevel.ERROR, problem.order


def _row(problem: Problem) -> ProblemRow:
    return ProblemRow(
        severity=problem.level.value,
        code=problem.code,
        message=problem.message,
        hint=problem.hint,
        file=problem.place.file,
        line=problem.place.line,
    )
