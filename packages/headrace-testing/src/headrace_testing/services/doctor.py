"""`doctor`: examine everything that could fail later. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headrace.extension import SEE, ProblemLevel, ProjectSession, Settings, command
from headrace.incidents.messages import Recipients
from headrace.installed_commands import GROUP as COMMANDS
from headrace.installed_commands import TABLES as COMMAND_TABLES
from headrace.model import HeadraceError, Project
from headrace.model.access import ACCESS_FILE
from headrace.model.file_descriptions import require_usable
from headrace.model.link_problems import rules_that_end
from headrace.model.plugins import (
    CONNECTIONS,
    EMITTERS,
    EXECUTORS,
    GROUPS,
    REPEATABILITY,
    ROUTES,
    SECRETS,
    WEEKLY,
    BrokenPlugin,
    function_of,
    plugins,
)
from headrace.model.settings import PRODUCTION
from headrace.security.secrets import SecretMissing, Secrets
from headrace.store.queries import telemetry
from headrace_testing.examinations import (
    ExaminationFinding,
    fail,
    machine,
    ok,
    outside,
    skipped,
    state,
    warn,
)
from headrace_testing.responses.installation import ExaminationRow

OTHERS = (
    *(COMMANDS, COMMAND_TABLES, CONNECTIONS, EMITTERS, EXECUTORS),
    *(REPEATABILITY, ROUTES, SECRETS, WEEKLY),
)
"""Groups of entry points besides the kinds."""
ROLES_SHOWN_MAX = 10

# Whether the project's files are valid and applied, and whether what they refer to exists.


def project(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine the project's files."""
    compilation = session.declared()
    problems = compilation.problems
    errors = [problem for problem in problems if problem.level is ProblemLevel.ERROR]
    if errors:
        first = errors[0]
        yield fail(
            "declarations",
            f"{len(errors)} errors, the first in {first.place.file}:{first.place.line}",
            "headrace validate",
        )
    elif problems:
        yield warn(
            "declarations",
            f"valid, with {len(problems)} warning{'' if len(problems) == 1 else 's'}",
            "headrace validate",
        )
    else:
        yield ok("declarations", "valid")
    yield from _applied(session)
    yield from _roles(session)
    yield from _secrets(session)
    yield from _lineage(session)
    yield from _contacts(session)
    yield from _packages()


def _contact_problems(project: Project, people: Recipients) -> list[str]:
    """Return why contacts of owners can't be notified, each reason once."""
    problems = []
    for name in project.owners:
        recipient = people.of(name)
        contacts = recipient.owner.contact if recipient else ()
        problems += [people.wrong(contact, cause=True) for contact in contacts]
    return [problem for problem in dict.fromkeys(problems) if problem]


def _packages() -> Iterator[ExaminationFinding]:
    """Examine what installed packages add."""
    added: dict[str, set[str]] = {}
    for plugin in (plugin for group in (*GROUPS, *OTHERS) for plugin in plugins(group)):
        try:
            (require_usable if plugin.group in GROUPS else function_of)(plugin)
        except BrokenPlugin as error:
            yield fail("packages", str(error), error.hint)
        else:
            added.setdefault(plugin.package, set()).add(f"`{plugin.name}`")
    for package, names in sorted(added.items()):
        yield ok("packages", f"{package} adds {', '.join(sorted(names))}")


def _contacts(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine whether owners can be notified; only `notify test` shows whether messages arrive."""
    project = session.declared().project
    if project is None or not project.owners:
        return
    people = Recipients(project)
    contacts = [contact for owner in project.owners.values() for contact in owner.contact]
    if not project.settings.notify and all(
        people.wrong(contact, cause=True) for contact in contacts
    ):
        yield skipped("contacts", "headrace.toml has no [notify]: nobody is notified")
        return
    silent = [name for name in project.owners if people.of(name) is None]
    problems = _contact_problems(project, people)
    if problems:
        yield warn("contacts", "; ".join(problems), "headrace notify")
    elif silent:
        yield warn(
            "contacts", f"nobody is notified for {', '.join(silent[:3])}", "contact: in owners.yaml"
        )
    else:
        yield ok(
            "contacts",
            f"{len(project.owners)} owners; headrace notify test --all sends each a message",
        )


def _applied(session: ProjectSession) -> Iterator[ExaminationFinding]:
    compiled = session.declared().compiled
    if compiled is None:
        return
    if session.version is None:
        yield warn(
            "applied", "nothing is applied yet", "headrace apply, or the first headrace tick"
        )
        return
    from headrace.plan import changes

    changed = {change.node for change in changes(session.compiled, compiled)}
    if changed:
        yield warn(
            "applied",
            f"version {session.version}; {len(changed)} nodes differ in the files",
            "headrace plan",
        )
    else:
        yield ok("applied", f"version {session.version} is what the files say")


def _roles(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Say which roles of the applied rules end soon, or have ended."""
    rules = session.project().access
    if rules is None:
        return
    ending = rules_that_end(rules, session.now().date())
    for rule in ending[:ROLES_SHOWN_MAX]:
        todo = f"write a later `until`, or remove the rule: {ACCESS_FILE}:{rule.line}"
        yield warn("ending roles", f"the rule about {rule.text}", todo)
    if len(ending) > ROLES_SHOWN_MAX:
        yield warn(
            "ending roles", f"{len(ending) - ROLES_SHOWN_MAX} more end", "headrace access review"
        )


def _secrets(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine each place that refers to secrets; values are never shown."""
    secrets = Secrets(session.root)
    for where, value in _referring(session.settings, session):
        try:
            secrets.resolved(value)
        except SecretMissing as error:
            yield fail(where, str(error), error.hint)
        else:
            yield ok(where, "its secrets are there")


def _referring(settings: Settings, session: ProjectSession) -> Iterator[tuple[str, Any]]:
    """Yield each place of headrace.toml and the project that refers to secrets."""
    named = (("connections", settings.connections), ("notify", settings.notify))
    yield from _with_references(
        {f"[{kind}.{name}]": table for kind, tables in named for name, table in tables.items()}
    )
    yield from _with_references({"[openlineage]": settings.openlineage})
    project = session.declared().project
    if project is None:
        return
    sources, consumers = project.sources.values(), project.consumers.values()
    yield from _with_references({f"source {item.name}": item.connector for item in sources})
    for name, asset in project.assets.items():
        if asset.secrets:
            yield f"asset {name}", asset.secrets
    yield from _with_references({f"consumer {item.name}": item.export for item in consumers})


def _with_references(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((where, value) for where, value in values.items() if _refers(value))


def _lineage(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine whether the OpenLineage collector accepts events."""
    if not session.settings.openlineage or session.store is None or session.env != PRODUCTION:
        return
    with session.store.read() as tx:
        cursor = telemetry.lineage_cursor(tx)
    if cursor is None:
        yield warn("lineage events", "none were sent yet", "the next headrace tick sends them")
    elif cursor.error:
        yield warn(
            "lineage events",
            cursor.error,
            "what wasn't sent is sent later; check [openlineage] in headrace.toml",
        )
    elif cursor.refused:
        yield warn(
            "lineage events",
            f"{cursor.refused:,} of {cursor.refused + cursor.sent:,} were refused",
            "look at the collector's log",
        )
    else:
        yield ok("lineage events", f"{cursor.sent:,} sent")


def _refers(value: Any) -> bool:
    """Whether a value contains a reference to a secret."""
    if isinstance(value, str):
        return "secret://" in value or "${" in value
    if isinstance(value, dict):
        return any(map(_refers, value.values()))
    return isinstance(value, list | tuple) and any(map(_refers, value))


AREAS: tuple[tuple[str, Callable[[ProjectSession], Iterator[ExaminationFinding]]], ...] = (
    ("project", project),
    ("state", state),
    ("outside", outside),
    ("machine", machine),
)
"""Areas in order: the machine comes last, because it loads DuckDB.

The state is closed by then.
"""


@command(
    "doctor",
    SEE,
    session="doctor",
    loads_duckdb=True,
    group="operate",
    summary="examine machine, state, sources, secrets and exports",
)
def doctor(session: ProjectSession) -> list[ExaminationRow]:
    """Examine machine, state, project, sources, secrets and exports. Nothing is changed.

    All findings are shown; an area that can't be examined is a finding itself. The command exits 1
    for a finding that keeps the project from running.
    """
    rows = []
    for area, examine in AREAS:
        try:
            for finding in examine(session):
                rows.append(_row(area, finding))  # noqa: PERF401 - kept if a later one fails
        except (HeadraceError, OSError) as error:
            rows.append(_row(area, fail(area, str(error), getattr(error, "hint", ""))))
        if area == "outside":
            session.close()
    return rows


def _row(area: str, finding: ExaminationFinding) -> ExaminationRow:
    return ExaminationRow(
        area=area,
        name=finding.name,
        state=finding.state.value,
        detail=finding.detail,
        todo=finding.todo or None,
    )
