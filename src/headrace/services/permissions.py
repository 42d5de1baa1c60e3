"""Which permission each command needs, and the check that runs before it.

Every function that the command line, the HTTP API or `headrace.Session` calls is in `COMMANDS` and
has the decorator `@authorised`. So all of them ask the same question once, whatever the command
calls in turn.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from headrace.installed_commands import CliCommand, installed_commands
from headrace.model import HeadraceError, Refused, UnknownName
from headrace.model.access import ACCESS_FILE, PERMISSIONS, AccessRules, Permission, Role
from headrace.services.emergency_roles import take_emergencies
from headrace.services.parameters import command_function
from headrace.services.printed_commands import name_of
from headrace.store.queries import freezes
from headrace.store.queries.freezes import EVERYBODY, Freeze

if TYPE_CHECKING:
    from headrace.security.access import Decision, Identity, Node, NotAllowed
    from headrace.services.proposals import Proposals
    from headrace.services.session import ProjectSession
    from headrace.services.visibility import HiddenNodes


class CommandPermission(NamedTuple):
    """The permission of one function, and the parameter that names the nodes it is about."""

    name: str
    """For people and for `access explain`: the command as typed."""
    permission: Permission
    of: str = ""
    """A parameter: `select`, or one that holds NODE[@K][.COLUMN]. Empty: the whole project."""
    anywhere: bool = False
    """Whether a role for some nodes is enough, because the function asks which ones it needs."""
    lists: bool = False
    """Whether it lists nodes and leaves out those that somebody may not see."""


SEE, READ, OPERATE = Permission.SEE, Permission.READ, Permission.OPERATE
DECIDE, APPROVE, CHANGE = Permission.DECIDE, Permission.APPROVE, Permission.CHANGE
AUDIT, ADMINISTER = Permission.AUDIT, Permission.ADMINISTER

_ROW = CommandPermission
COMMANDS: Mapping[str, CommandPermission] = {
    "access:explain": _ROW("access explain", AUDIT),
    "access_review:review": _ROW("access review", AUDIT),
    "access:whoami": _ROW("access whoami", SEE),
    "access:matrix": _ROW("access matrix", SEE),
    "apply:apply": _ROW("apply", CHANGE, anywhere=True),
    "apply:apply_plan": _ROW("apply", CHANGE, anywhere=True),
    "apply:make_again": _ROW("apply", CHANGE),
    "approvals:approval": _ROW("approvals show", SEE, lists=True),
    "approvals:approvals": _ROW("approvals", SEE, lists=True),
    "approvals:approve": _ROW("approve", APPROVE, anywhere=True),
    "approvals:reject": _ROW("reject", APPROVE, anywhere=True),
    "asset_tests:run_tests": _ROW("test", READ),
    "audit:audit_verify": _ROW("audit verify", AUDIT),
    "audit:checkpoint": _ROW("audit checkpoint", AUDIT),
    "audit:entry": _ROW("audit", AUDIT, lists=True),
    "audit:show": _ROW("audit", AUDIT, lists=True),
    "audit:verify_trail": _ROW("audit verify", AUDIT),
    "backfill_partitions:plan_partitions": _ROW("backfills partitions", SEE),
    "backfill_partitions:preview_partitions": _ROW("backfill partitions", SEE, "select"),
    "backfills:act": _ROW("backfills", OPERATE),
    "backfills:backfill": _ROW("backfill", OPERATE, "select"),
    "backfills:backfills": _ROW("backfills", SEE),
    "backfills:cancel_backfill": _ROW("backfills cancel", OPERATE),
    "backfills:get_backfill": _ROW("backfills show", SEE),
    "backfills:pause_backfill": _ROW("backfills pause", OPERATE),
    "backfills:preview_backfill": _ROW("backfill preview", SEE, "select"),
    "backfills:resume_backfill": _ROW("backfills resume", OPERATE),
    "backfills:run_backfill": _ROW("backfill", OPERATE, "select"),
    "badges:badge": _ROW("badge show", SEE, "name"),
    "badges:badge_link": _ROW("badge", DECIDE, "name"),
    "catalog_search:catalog": _ROW("catalog", SEE, lists=True),
    "catalog_search:search": _ROW("search", SEE, lists=True),
    "challenge_process:challenge_in_process": _ROW("checks challenge", OPERATE),
    "challenges:challenge": _ROW("checks challenge", OPERATE),
    "checks:check_list": _ROW("checks list", SEE, lists=True),
    "checks:checks": _ROW("checks", SEE, "select", lists=True),
    "checks:declare": _ROW("checks suggest", CHANGE),
    "classification:suggest_classes": _ROW("classify", CHANGE, "select"),
    "column_distribution:column_distribution": _ROW("distribution", READ, "name"),
    "complexity:complexity": _ROW("complexity", SEE),
    "connections:connections": _ROW("connections", SEE),
    "connections:notify": _ROW("notify", SEE),
    "connections:test_channels": _ROW("notify test", OPERATE),
    "connections:test_connections": _ROW("connections test", OPERATE),
    "consumer_history:consumer_history": _ROW("consumer history", SEE, "name"),
    "contract_accept:accept": _ROW("contract accept", CHANGE, "target"),
    "contract_accept:accept_names": _ROW("contract accept", CHANGE, "node"),
    "contract_accept:preview_names": _ROW("contract accept preview", READ, "node"),
    "contract_inference:infer": _ROW("contract infer", READ, "target"),
    "contracts:contract_history": _ROW("contract versions", SEE, "node"),
    "contracts:diff": _ROW("contract diff", SEE, "node"),
    "contracts:show": _ROW("contract", SEE, "node"),
    "costs:costs": _ROW("costs", SEE),
    "data_pages:data_page": _ROW("read page", READ, "name"),
    "data_pages:data_profile": _ROW("read profile", READ, "name"),
    "data_pages:write_data": _ROW("read", READ, "name"),
    "database:backup": _ROW("db backup", ADMINISTER),
    "database:clock": _ROW("db clock", ADMINISTER),
    "database:gc": _ROW("db gc", ADMINISTER),
    "database:upgrade": _ROW("db upgrade", ADMINISTER),
    "database_check:check": _ROW("db check", ADMINISTER),
    "database_differences:repair": _ROW("db repair", ADMINISTER),
    "dbt_artifacts:export": _ROW("export dbt-manifest", SEE),
    "deliveries:deliveries": _ROW("deliveries", SEE, "source"),
    "dismissals:dismiss": _ROW("optimize dismiss", DECIDE, anywhere=True),
    "dismissals:reopen": _ROW("optimize reopen", DECIDE, anywhere=True),
    "doctor:doctor": _ROW("doctor", SEE),
    "failed_attempts:incident_failure": _ROW("incident failure", SEE, lists=True),
    "source_scores:source_scores": _ROW("source scores", SEE, "source"),
    "figure_trends:figure_trend": _ROW("figure trend", SEE),
    "figures:explain": _ROW("status explain", SEE),
    "emergencies:break_glass": _ROW("access break-glass", SEE),
    "emergencies:end_break_glass": _ROW("access break-glass --end", SEE),
    "erase:erase": _ROW("erase", ADMINISTER),
    "erase:preview_erase": _ROW("erase preview", ADMINISTER),
    "erase:run_erase": _ROW("erase", ADMINISTER),
    "fix:fix": _ROW("fix", OPERATE),
    "fix:preview_fix": _ROW("fix preview", SEE),
    "fix:run_fix": _ROW("fix", OPERATE),
    "freezes:freeze": _ROW("freeze", ADMINISTER),
    "freezes:unfreeze": _ROW("unfreeze", ADMINISTER),
    "graph_changes:changes": _ROW("graph changes", SEE, lists=True),
    "graph:effect": _ROW("effect", SEE, "select", lists=True),
    "graph:view": _ROW("graph", SEE, "query.root", lists=True),
    "holds:hold": _ROW("hold", ADMINISTER),
    "holds:holds": _ROW("hold list", SEE),
    "holds:release": _ROW("hold release", ADMINISTER),
    "incident_handling:assign": _ROW("incidents assign", OPERATE),
    "incident_handling:link_ticket": _ROW("incidents ticket", OPERATE),
    "incident_handling:people": _ROW("incidents people", OPERATE),
    "incident_mutes:mute": _ROW("incidents mute", OPERATE),
    "incident_mutes:unmute": _ROW("incidents unmute", OPERATE),
    "incident_records:incident_figures": _ROW("incident figures", SEE),
    "incident_records:note": _ROW("incidents note", OPERATE),
    "incident_records:report": _ROW("incidents report", OPERATE, "node"),
    "incidents:incident": _ROW("incident", SEE, lists=True),
    "incidents:incidents": _ROW("incidents", SEE, lists=True),
    "interventions:cancel": _ROW("cancel", OPERATE),
    "interventions:take_over": _ROW("exports take-over", DECIDE, "consumer"),
    "interventions:unpublish": _ROW("unpublish", DECIDE, "target"),
    "interventions:waive": _ROW("waive", DECIDE, "target"),
    "keys:key_status": _ROW("keys status", AUDIT),
    "keys:reveal_token": _ROW("keys reveal", ADMINISTER),
    "keys:rotate_keys": _ROW("keys rotate", ADMINISTER),
    "lineage:lineage": _ROW("lineage", SEE),
    "logs:follow": _ROW("logs", SEE),
    "logs:log_page": _ROW("logs page", SEE),
    "logs:log_text": _ROW("logs text", SEE),
    "logs:logs": _ROW("logs", SEE),
    "ls:file_of": _ROW("versions", SEE),
    "ls:ls": _ROW("ls", SEE, "select", lists=True),
    "ls:versions": _ROW("versions", SEE),
    "node_code:code": _ROW("code", SEE, "name"),
    "node_history:node_history": _ROW("history", SEE, "name"),
    "nodes:consumer": _ROW("consumer", SEE, "name"),
    "nodes:list_partitions": _ROW("partitions", SEE, "name"),
    "nodes:node": _ROW("asset", SEE, "name"),
    "optimize_apply:apply_findings": _ROW("optimize apply", CHANGE),
    "trigger_removal:remove_trigger": _ROW("bottleneck apply", CHANGE),
    "optimize:optimize": _ROW("optimize", SEE, "select", lists=True),
    "pause:pause": _ROW("pause", OPERATE, "select"),
    "pause:paused": _ROW("pauses", SEE, lists=True),
    "pause:resume": _ROW("resume", OPERATE, "select"),
    "plan_code:plan_code": _ROW("plan code", SEE, lists=True),
    "plan_graph:plan_graph": _ROW("plan graph", SEE, lists=True),
    "plans:plan": _ROW("plan", SEE, lists=True),
    "possible_acts:possible_acts": _ROW("acts possible", SEE, lists=True),
    "proofs:prove": _ROW("optimize --prove", OPERATE, "select"),
    "pruning:apply_prune": _ROW("complexity prune --yes", CHANGE),
    "pruning:prune": _ROW("complexity prune", CHANGE),
    "pruning:restore_files": _ROW("complexity restore", CHANGE),
    "pruning:undo_prune": _ROW("complexity undo", CHANGE),
    "quarantine:list_quarantine": _ROW("quarantine", READ, "target"),
    "quarantine_decisions:accept": _ROW("quarantine accept", DECIDE, "target"),
    "quarantine_decisions:drop": _ROW("quarantine drop", DECIDE, "target"),
    "read:read": _ROW("read", READ, "query.asset"),
    "read:write": _ROW("read", READ, "query.asset"),
    "read:write_json": _ROW("read", READ, "query.asset"),
    "receive:fire": _ROW("hook", OPERATE, "asset"),
    "receive:receive": _ROW("receive", OPERATE, "source"),
    "render:render": _ROW("render", SEE, "target"),
    "restore:new_state": _ROW("db restore", ADMINISTER),
    "restore:newest_backup": _ROW("db restore", ADMINISTER),
    "restore:restore": _ROW("db restore", ADMINISTER),
    "run:retry": _ROW("retry", OPERATE, "target"),
    "run:run": _ROW("run", OPERATE, "select"),
    "run_grid:run_grid": _ROW("runs grid", SEE, lists=True),
    "run_load:run_path": _ROW("runs path", SEE, lists=True),
    "run_load:run_slots": _ROW("runs slots", SEE, lists=True),
    "run_pages:run_list": _ROW("runs list", SEE, lists=True),
    "run_pages:run_timeline": _ROW("runs show", SEE, lists=True),
    "run_results:tick": _ROW("tick", OPERATE),
    "runs:runs": _ROW("runs", SEE, "node", lists=True),
    "bottleneck:bottleneck": _ROW("bottleneck", SEE, "consumer"),
    "browser_sessions:end_session": _ROW("session end", ADMINISTER),
    "browser_sessions:list_sessions": _ROW("session list", ADMINISTER),
    "snapshot_differences:snapshot_difference": _ROW("diff page", READ, "name"),
    "sql:attach": _ROW("sql --attach", ADMINISTER),
    "sql:console": _ROW("sql page", READ),
    "sql:diff": _ROW("diff", READ, "target"),
    "sql:run_query": _ROW("sql", READ),
    "sql:write": _ROW("sql", READ),
    "status:status": _ROW("status", SEE, "select", lists=True),
    "today:today": _ROW("today", SEE, lists=True),
    "calendar:calendar": _ROW("calendar", SEE, lists=True),
    "tokens:create_token": _ROW("token create", ADMINISTER),
    "tokens:list_tokens": _ROW("token list", ADMINISTER),
    "tokens:revoke_token": _ROW("token revoke", ADMINISTER),
    "trial_records:list_trials": _ROW("ab list", SEE, lists=True),
    "trials:ab": _ROW("ab", READ, "asset"),
    "try_asset:try_asset": _ROW("try", READ, "target"),
    "users:add_user": _ROW("user add", ADMINISTER),
    "users:list_users": _ROW("user list", ADMINISTER),
    "users:remove_user": _ROW("user remove", ADMINISTER),
    "users:set_password": _ROW("user password", ADMINISTER),
    "validate:validate": _ROW("validate", SEE, lists=True),
    "what_if:what_if": _ROW("what-if", SEE),
    "what_if_page:what_if_page": _ROW("what-if page", SEE),
    "why:why": _ROW("why", SEE, "subject"),
}
"""`module:function` of `headrace.services` → its permission.

A role that is limited to nodes opens commands that name their nodes, and those that list them
(`lists`). For the others a role without that limit is needed.
"""

SERVE = _ROW("serve", ADMINISTER)
"""`headrace serve` isn't a function of `headrace.services`, but needs a permission, too."""

METRICS = _ROW("metrics", SEE, lists=True)
"""`/metrics` has the series of the nodes that somebody may see."""
STATES_OF_ACTS = _ROW("acts", SEE, lists=True)
"""The state of an action is for its actor, and for those who may see all nodes it is about."""

LOOKING = (SEE, READ, AUDIT)
"""Permissions of commands that change nothing."""


@functools.cache
def by_name() -> Mapping[str, CommandPermission]:
    """Return the permission of each command by its name, as people type it."""
    added = {
        name: _ROW(name, Permission(needed))
        for command in installed_commands().values()
        for name, needed in command.permissions.items()
    }
    return added | {row.name: row for row in (*COMMANDS.values(), SERVE)}


ADMINS_MAX = 3
"""Admins whom a refusal names."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def authorised(function: F) -> F:
    """Check the caller's permission before each call of a function that is in `COMMANDS`.

    Commands call each other: only the first one in a session is checked. The function raises
    NotAllowed, and UnknownName for a node that the caller may not see.
    """
    return _checked(function, COMMANDS[_path_of(function)])


def _path_of(function: Callable[..., Any]) -> str:
    # `python -m headrace.services.MODULE` calls the module `__main__`
    return f"{inspect.getmodulename(function.__code__.co_filename)}:{function.__name__}"


def permitted(command: CliCommand, name: str) -> Callable[[F], F]:
    """Return a decorator like `authorised` for a function of another package.

    `name` is one of the command's `permissions`, for a function about the whole project: its first
    parameter is the session. Raises LookupError for another name.
    """
    needed = _ROW(name, Permission(command.permissions[name]))
    return lambda function: _checked(function, needed)


def _checked(function: F, needed: CommandPermission) -> F:
    signature, path = inspect.signature(function), _path_of(function)

    @functools.wraps(function)
    def checked(session: ProjectSession, *args: Any, **kwargs: Any) -> Any:
        if session.trusted:
            return function(session, *args, **kwargs)
        if needed.permission not in LOOKING and _is_of_token(session):
            bound = signature.bind(session, *args, **kwargs)
            bound.apply_defaults()
            # by name: the module of acts imports the commands
            command_function("agent_acts:admit")(session, needed, path, bound.arguments)
        else:
            arguments = signature.bind(session, *args, **kwargs).arguments if needed.of else {}
            check(session, needed, arguments)
        with trusted(session):
            return _call(session, needed, functools.partial(function, session, *args, **kwargs))

    return cast("F", checked)


def _is_of_token(session: ProjectSession) -> bool:
    """Whether the session's commands run as an API token, for which the ceilings hold."""
    return not session.local and session.identity.kind == "token"


def _call(session: ProjectSession, needed: CommandPermission, function: Callable[[], Any]) -> Any:
    """Return a command's response without what its caller may neither see nor run; errors, too."""
    try:
        response = _visible(session, needed, function)
    except HeadraceError as error:
        if error.hint and not unrestricted(session):
            error.hint = _proposals(session).hint(error.hint)
        if _hides_values(session, needed):
            from headrace.services.hidden_values import error_without_values

            error_without_values(error)
        raise
    if _hides_values(session, needed):
        from headrace.services.hidden_values import without_values

        response = without_values(response)
    if session.names_roles or unrestricted(session):
        return response
    return _proposals(session).without_others(response)


def _hides_values(session: ProjectSession, needed: CommandPermission) -> bool:
    return needed.permission is not READ and not reads_rows(session)


def _visible(
    session: ProjectSession, needed: CommandPermission, function: Callable[[], Any]
) -> Any:
    """Return a command's response without nodes that the caller may not see; errors, too."""
    if session.visible is None or needed.anywhere:  # names what the caller has written
        return function()
    hidden = _hidden_nodes(session)
    try:
        response = function()
    except HeadraceError as error:
        hidden.redact(error)
        raise
    # rows of data aren't texts of Headrace
    return response if needed.permission is READ else hidden.without(response)


@contextmanager
def trusted(session: ProjectSession) -> Iterator[None]:
    """Run commands in a session that were authorised before, or that Headrace itself runs."""
    before, session.trusted = session.trusted, True
    try:
        yield
    finally:
        session.trusted = before


def check(session: ProjectSession, needed: CommandPermission, arguments: Mapping[str, Any]) -> None:
    """Raise NotAllowed if the session's identity may not run a command with these arguments.

    A refused attempt is noted for the audit trail.
    """
    session.command = needed.name
    try:
        _check(session, needed, arguments)
    except Refused as refused:
        if code := getattr(refused, "code", ""):
            _note(session, needed, code)
        raise


def _note(session: ProjectSession, needed: CommandPermission, code: str, node: str = "") -> None:
    from headrace.services.access_events import note_refusal

    note_refusal(session, needed.name, code, node)


def _check(
    session: ProjectSession, needed: CommandPermission, arguments: Mapping[str, Any]
) -> None:
    session.visible = None
    frozen = freeze_of(session)
    if frozen is not None:
        raise _frozen_error(session, needed, frozen)
    if unrestricted(session):
        return
    if needed.permission not in LOOKING:
        session.actor = session.identity.name  # whatever name a program has given itself
    rules = rules_of(session)
    take_emergencies(session, rules)
    whole = decision(session, rules, needed.permission, None)
    visible = visible_nodes(session, rules)
    if whole.allowed and visible is None:
        return
    if needed.lists and not whole.allowed and needed.permission is not SEE:
        visible = listed_nodes(session, rules, needed.permission)
    if needed.permission is SEE:
        session.visible = visible  # selections then reach what is visible, and nothing else
    nodes = list(_nodes(session, needed.of, arguments))
    session.visible = visible
    for node in nodes:
        _check_node(session, needed, node, arguments)
    if not nodes and not (needed.lists and visible):
        _check_whole(session, needed, whole)


def _check_node(
    session: ProjectSession, needed: CommandPermission, node: Node, arguments: Mapping[str, Any]
) -> None:
    if not session.shows(node.name):
        _note(session, needed, "hidden", node.name)
        raise _hidden(node.name, arguments)
    result = decision(session, rules_of(session), needed.permission, node)
    if not result.allowed:
        from headrace.security.access import NotAllowed

        asked = people_to_ask(session, node.owner) or admins(session)
        raise NotAllowed(session.identity, needed.name, result, asked)


def people_to_ask(session: ProjectSession, owner: str) -> tuple[str, ...]:
    """Return who can give a right to an owner's nodes; nobody for a vendor without a manager.

    A vendor delivers data and decides nothing here: its manager does.
    """
    owners = session.project().owners
    asked, passed = owners.get(owner), set[str]()
    while asked is not None and asked.kind == "vendor" and asked.name not in passed:
        passed.add(asked.name)
        asked = owners.get(asked.manager) if asked.manager is not None else None
    return () if asked is None or asked.kind == "vendor" else (asked.name,)


def admins(session: ProjectSession) -> tuple[str, ...]:
    """Return who may give any right: people and groups with the role admin of the whole project."""
    rules, today = rules_of(session), session.now().date()
    names = [
        subject
        for grant in (rules.grants if rules is not None else ())
        if grant.role is Role.ADMIN and not grant.scope.of_nodes and not grant.scope.env
        if grant.until is None or grant.until >= today
        for subject in grant.to
        if not subject.startswith("token:")
    ]
    return tuple(dict.fromkeys(names))[:ADMINS_MAX]


def _check_whole(session: ProjectSession, needed: CommandPermission, whole: Decision) -> None:
    """Raise NotAllowed for a command about all nodes that isn't allowed or reads hidden ones."""
    if needed.anywhere and any(
        decision(session, rules_of(session), needed.permission, node).allowed
        for node in session.project().nodes()
    ):
        return
    if whole.allowed and needed.permission is READ:
        whole = decision(session, rules_of(session), SEE, None)
    if not whole.allowed:
        from headrace.security.access import NotAllowed

        raise NotAllowed(session.identity, needed.name, whole, admins(session))


def _frozen_error(session: ProjectSession, needed: CommandPermission, frozen: Freeze) -> NotAllowed:
    from headrace.security.access import Frozen

    everybody = frozen.subject == EVERYBODY
    return Frozen(session.identity, needed.name, frozen.reason, everybody=everybody)


def visible_nodes(
    session: ProjectSession, rules: AccessRules | None, identity: Identity | None = None
) -> frozenset[str] | None:
    """Return the nodes that an identity (the session's) may see; None if it sees the project."""
    from headrace.security.access import allowed_nodes

    identity = identity or session.identity
    if decision(session, rules, SEE, None, identity).allowed:
        return None
    try:
        nodes = session.project().nodes()
    except HeadraceError:
        return frozenset()  # files with errors: nobody can say whose nodes they declare
    return allowed_nodes(rules, identity, SEE, nodes, env=session.env, today=session.now().date())


def listed_nodes(
    session: ProjectSession,
    rules: AccessRules | None,
    permission: Permission,
    identity: Identity | None = None,
) -> frozenset[str]:
    """Return the nodes that a list may show to an identity which also needs another permission."""
    from headrace.security.access import allowed_nodes

    try:
        nodes = session.project().nodes()
    except HeadraceError:
        return frozenset()
    identity, today = identity or session.identity, session.now().date()
    seen, permitted = (
        allowed_nodes(rules, identity, item, nodes, env=session.env, today=today)
        for item in (SEE, permission)
    )
    return seen & permitted


def visible_of(session: ProjectSession, nodes: Iterable[Node]) -> frozenset[str]:
    """Return the names of the given nodes, applied or not, that the session's identity may see."""
    from headrace.security.access import allowed_nodes

    allowed = allowed_nodes(
        rules_of(session),
        session.identity,
        SEE,
        nodes,
        env=session.env,
        today=session.now().date(),
    )
    applied = {node.name for node in session.project().nodes()}
    return frozenset(name for name in allowed if name not in applied or session.shows(name))


def _hidden_nodes(session: ProjectSession) -> HiddenNodes:
    from headrace.services.visibility import HiddenNodes

    names = [node.name for node in session.project().nodes()]
    visible = [name for name in names if session.shows(name)]
    return HiddenNodes(set(names).difference(visible), visible)


def check_call(session: ProjectSession, function: str, arguments: Mapping[str, Any]) -> None:
    """Raise NotAllowed as the call of a function of `COMMANDS` would, without the call."""
    if not session.trusted:
        check(session, COMMANDS[function], arguments)


def may_call(session: ProjectSession, function: str, node: Node | None) -> bool:
    """Whether the roles of the session's identity allow a function of `COMMANDS`.

    A function that names its nodes is asked about `node`, others about the project. Nothing is
    recorded, unlike a refused call.
    """
    needed = COMMANDS[function]
    if unrestricted(session):
        return True
    rules = rules_of(session)
    about = node if needed.of else None
    if decision(session, rules, needed.permission, about).allowed:
        return about is None or session.shows(about.name)
    return needed.anywhere and any(
        decision(session, rules, needed.permission, item).allowed
        for item in session.project().nodes()
    )


def nodes_of_call(
    session: ProjectSession, function: str, arguments: Mapping[str, Any]
) -> frozenset[str] | None:
    """Return the nodes that the call of a function of `COMMANDS` is about, hidden ones among them.

    None stands for the whole project, and for a call that names unknown nodes.
    """
    if unrestricted(session):
        return None
    try:
        nodes = list(_nodes(session, COMMANDS[function].of, arguments))
    except HeadraceError:
        return None
    return frozenset(node.name for node in nodes) or None


def without_hidden(session: ProjectSession, value: T) -> T:
    """Return a response without the names of nodes that the session's identity may not see."""
    if session.visible is None:
        return value
    result: T = _hidden_nodes(session).without(value)
    return result


def hiding(session: ProjectSession) -> Callable[[str], str]:
    """Return the function that takes the names of hidden nodes out of a text, as of a line of code.

    A text that is cut loses them before: a part of a name wouldn't be recognised later.
    """
    return str if session.visible is None else _hidden_nodes(session).text


def unrestricted(session: ProjectSession) -> bool:
    """Whether nothing is checked: a local user in a project without rules."""
    return session.local and rules_of(session) is None


def needed_role(session: ProjectSession, command: str) -> str:
    """Return the role that a printed command needs and its reader lacks; empty if they have it.

    `the role auditor`; for a role that is limited to nodes, and a command about the whole project,
    `the role auditor without a limit`. Commands that need no role, of other programs too, are
    everybody's.
    """
    return _needed_role(session, functools.partial(allows_somewhere, session), command)


def _proposals(session: ProjectSession) -> Proposals:
    """Return what the session's identity may be told to run."""
    from headrace.services.proposals import Proposals

    allows_any = functools.cache(functools.partial(allows_somewhere, session))
    return Proposals(by_name(), functools.partial(_needed_role, session, allows_any))


def _needed_role(
    session: ProjectSession, allows_any: Callable[[Permission], bool], command: str
) -> str:
    try:
        if unrestricted(session):
            return ""
        names = by_name()
        name = name_of(command, names)
        return "" if name is None else _lacking(session, names[name], allows_any, command)
    except HeadraceError:  # files or a state that can't be read: the command reports them
        return ""


def _lacking(
    session: ProjectSession,
    needed: CommandPermission,
    allows_any: Callable[[Permission], bool],
    command: str,
) -> str:
    reads_everything = needed.permission is READ and not needed.of
    if _allows(session, needed.permission) and (not reads_everything or _allows(session, SEE)):
        return ""
    allowed = _allows_typed(session, needed, allows_any, command)
    names_nodes = needed.of and set(command.split()[1:]) - set(needed.name.split())
    if allowed and (names_nodes or needed.anywhere or needed.lists):
        return ""
    role = next(role for role in Role if needed.permission in PERMISSIONS[role])
    return f"the role {role} without a limit" if allowed else f"the role {role}"


def _allows_typed(
    session: ProjectSession,
    needed: CommandPermission,
    allows_any: Callable[[Permission], bool],
    command: str,
) -> bool:
    """Whether a role allows a command for a node that it names, or for any if it names none."""
    named = _typed_nodes(session, command) if needed.of else []
    if named:
        return any(_allows(session, needed.permission, node) for node in named)
    return allows_any(needed.permission)


def _typed_nodes(session: ProjectSession, command: str) -> list[Node]:
    """Return the nodes that a command names."""
    words = [word.partition("@")[0].partition(".")[0] for word in command.split()[1:]]
    return [node for node in map(session.project().node, words) if node is not None]


def _allows(session: ProjectSession, permission: Permission, node: Node | None = None) -> bool:
    return decision(session, rules_of(session), permission, node).allowed


def allows_somewhere(session: ProjectSession, permission: Permission) -> bool:
    """Whether a role allows something for at least one node."""
    from headrace.security.access import allowed_nodes

    nodes, today = session.project().nodes(), session.now().date()
    rules, identity = rules_of(session), session.identity
    return bool(allowed_nodes(rules, identity, permission, nodes, env=session.env, today=today))


def reads_rows(session: ProjectSession) -> bool:
    """Whether the session's identity may read rows of all nodes that it may see."""
    if unrestricted(session):
        return True
    rules = rules_of(session)
    if decision(session, rules, READ, None).allowed:
        return True
    return session.visible is not None and session.visible <= listed_nodes(session, rules, READ)


def freeze_of(session: ProjectSession, identity: Identity | None = None) -> Freeze | None:
    """Return what stops an identity (the session's); None if nothing does.

    A freeze in production holds in every environment. If the state can't be read, a local user
    isn't stopped: the command reports it.
    """
    try:
        in_force = _freezes(session)
    except HeadraceError:
        if session.local:
            return None
        raise
    if not in_force:
        return None
    asked = identity or session.identity
    freeze = next((item for item in in_force if item.subject in asked.subjects), None)
    if freeze is not None:
        return freeze
    everybody = next((item for item in in_force if item.subject == EVERYBODY), None)
    if everybody is None:
        return None
    rules = rules_of(session)
    return None if decision(session, rules, ADMINISTER, None, asked).allowed else everybody


def _freezes(session: ProjectSession) -> list[Freeze]:
    """Return the freezes in force in the session's environment and in production."""
    in_force = []
    for item in (session, session.production):
        if item is not None and item.store is not None:
            with item.store.read() as tx:
                in_force += freezes.in_force(tx)
    return in_force


def decision(
    session: ProjectSession,
    rules: AccessRules | None,
    permission: Permission,
    node: Node | None,
    identity: Identity | None = None,
) -> Decision:
    """Return the decision about an identity (the session's), in the session's environment."""
    from headrace.security.access import decide

    return decide(
        rules,
        identity or session.identity,
        permission,
        node,
        env=session.env,
        today=session.now().date(),
    )


def rules_of(session: ProjectSession) -> AccessRules | None:
    """Return the applied rules; None if there is no `access.yaml`.

    Production's rules hold in every environment, because environments read production's data. If
    the settings or the state can't be read, a local user isn't checked: the command reports them.
    """
    try:
        production = session.production or session
        compiled = production.compiled if ACCESS_FILE in production.manifest else None
    except HeadraceError:
        if session.local:
            return None
        raise
    return None if compiled is None else compiled.project.access


def _nodes(session: ProjectSession, parameter: str, arguments: Mapping[str, Any]) -> Iterator[Node]:
    """Yield the nodes that a command's arguments name; nothing if they name none."""
    if not parameter:
        return
    first, _, attribute = parameter.partition(".")
    value = arguments.get(first)
    if attribute and value is not None:
        value = getattr(value, attribute)
    if not value:
        return
    project = session.project()
    if first == "select":
        from headrace.services.selection import selected

        names = selected(session, list(value), list(arguments.get("exclude") or ()))
    else:
        names = [_node_name(str(value))]
    for name in names:
        node = project.node(name)
        if node is not None:
            yield node
        elif not _OTHER_TARGET.fullmatch(name):
            raise _unknown(name)


def _unknown(name: str) -> UnknownName:
    """Return the error for a node that doesn't exist, or that the caller may not see."""
    return UnknownName(
        f"there is no {name[:60]!r}", hint="`headrace access whoami` lists your roles"
    )


def _hidden(name: str, arguments: Mapping[str, Any]) -> UnknownName:
    """Return the error for a hidden node, which names it only if the caller has typed its name."""
    selection = arguments.get("select")
    if selection is None or name in map(_node_name, map(str, selection)):
        return _unknown(name)
    return UnknownName(
        "the selection reaches nodes that you may not see", hint="name the nodes one by one"
    )


_OTHER_TARGET = re.compile(r"\d+|INC-\d+")
"""A run or an incident, which some commands take instead of a node."""


def _node_name(text: str) -> str:
    """Return the node of NODE, NODE@K or NODE.COLUMN."""
    return text.removeprefix("asset:").partition("@")[0].partition(".")[0]
