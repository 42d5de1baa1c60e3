"""What packages outside Headrace may import: everything else is free to change.

    from headrace.extension import CliCommand, terminal_command

docs/how-to/extend.md says how a package adds commands, routes, check kinds, sources and formats.
Nothing in Headrace imports this module, and a name is imported when it is first asked for:
`headrace --help` reads tables of commands through it. `__init__.pyi` tells type checkers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    # Commands: how they are declared, what they get and what they print to.
    "CliCommand": "headrace.installed_commands",
    **dict.fromkeys(
        ("terminal_command", "CommandGroup", "ServiceCommand", "ExitCode"),
        "headrace.cli.declared_commands",
    ),
    "Yes": "headrace.cli.agreement",
    "can_ask": "headrace.cli.agreement",
    **dict.fromkeys(
        ("Argument", "Option", "Selected", "Excluded", "Window", "RequiredReason"),
        "headrace.project.parameters",
    ),
    "Invocation": "headrace.cli.invocation",
    "CommandOutput": "headrace.cli.output",
    **dict.fromkeys(("ColumnLayout", "StyledCell", "joined", "plural"), "headrace.cli.terminal"),
    "command_line": "headrace.model.partitions",
    # Functions of commands: declaration, permission, project, progress and response.
    "command": "headrace.access.permissions",
    **dict.fromkeys(
        ("SEE", "READ", "OPERATE", "DECIDE", "APPROVE", "CHANGE", "AUDIT", "ADMINISTER"),
        "headrace.access.permissions",
    ),
    "permitted": "headrace.access.permissions",
    "ProjectSession": "headrace.project.session",
    "Progress": "headrace.project.session",
    "Silent": "headrace.project.session",
    "Response": "headrace.responses.base",
    "local_actor": "headrace.project.local_actor",
    # What the process that leads does for a function of a command.
    "leader_command": "headrace.acts.commands",
    "CommandContext": "headrace.acts.command_context",
    # Routes of the HTTP server.
    "HttpRoute": "headrace.web.package_routes",
    "ServerContext": "headrace.web.package_routes",
    "HttpProblem": "headrace.web.http",
    # What reports to other systems while a leader leads.
    "Leadership": "headrace.runtime.leadership",
    "Leader": "headrace.runtime.leader",
    "Emitter": "headrace.runtime.leadership",
    # Where attempts run.
    **dict.fromkeys(
        ("Executor", "LostWorker", "News", "ObservationFinished", "TaskFinished"),
        "headrace.runtime.executors",
    ),
    "Pool": "headrace.runtime.executors.pool",
    **dict.fromkeys(
        ("Answer", "ExportTask", "ObserveTask", "SourceObserved", "Task"),
        "headrace.runtime.messages",
    ),
    **dict.fromkeys(("WakeUpPipe", "WorkerSettings"), "headrace.runtime.worker_protocol"),
    "worker_settings": "headrace.runtime.leadership",
    "Folders": "headrace.runtime.folders",
    "AttemptId": "headrace.scheduler",
    "WakeListener": "headrace.store.requests",
    # Commands of Headrace that others call.
    "validate": "headrace.services.validate",
    "ProblemRow": "headrace.responses.project",
    "plan": "headrace.services.plans",
    "apply": "headrace.services.apply",
    "pause": "headrace.services.pause",
    "resume": "headrace.services.pause",
    # What describes a project: how it stands, what happened, which versions were applied.
    "status": "headrace.services.status",
    "incidents": "headrace.services.incidents",
    "versions": "headrace.services.ls",
    "typed_columns": "headrace.services.render",
    "column_classes": "headrace.model.masks",
    "compile_lineage": "headrace.compiler.lineage",
    "usable": "headrace.project.session",
    "ColumnProfile": "headrace.checks",
    **dict.fromkeys(("AvailabilityRow", "ConsumerRow"), "headrace.responses.status"),
    "IncidentRow": "headrace.responses.incidents",
    "VersionRow": "headrace.responses.project",
    # Whose rights a session has.
    **dict.fromkeys(("Identity", "IdentityKind"), "headrace.security.access"),
    "grant_typed": "headrace.services.tokens",
    **dict.fromkeys(("rules_of", "visible_nodes"), "headrace.access.permissions"),
    # Object stores that others read.
    **dict.fromkeys(("errors_as_unavailable", "open_location"), "headrace.connect.filesystems"),
    # Errors, which become one line and an exit code.
    "HeadraceError": "headrace.model.errors",
    "ProjectError": "headrace.model.errors",
    "Refused": "headrace.model.errors",
    "UsageError": "headrace.model.errors",
    "did_you_mean": "headrace.model.errors",
    "first_line": "headrace.model.errors",
    "shown": "headrace.model.errors",
    # Values of rows in texts, which not everybody may read.
    "marked": "headrace.model.texts",
    "plain": "headrace.model.texts",
    "hidden": "headrace.model.texts",
    "rendered": "headrace.access.hidden_values",
    "of_error": "headrace.model.texts",
    # Declarations and files of a project.
    **dict.fromkeys(("Asset", "Contract", "Project", "Settings", "Source"), "headrace.model"),
    **dict.fromkeys(("Duration", "local_instant_us"), "headrace.model.times"),
    "memory_in_bytes": "headrace.model.fields",
    **dict.fromkeys(("Fields", "LocatedMapping"), "headrace.model.fields"),
    "load_yaml": "headrace.model.parsing",
    "Report": "headrace.model.errors",
    "safe_path": "headrace.project.project_paths",
    "write_files": "headrace.project.written_files",
    "leftovers": "headrace.project.written_files",
    # A project as it is edited: its files, compiled with other contents, and what they mean.
    **dict.fromkeys(("Cache", "KeptLineage"), "headrace.compiler.cache"),
    "compile_project": "headrace.compiler.compiling",
    **dict.fromkeys(("ChangedFiles", "find_root"), "headrace.compiler.project_files"),
    **dict.fromkeys(("bind", "with_programs"), "headrace.project.diagnostics"),
    **dict.fromkeys(
        ("FileKind", "ProjectFile", "Scan", "file_kind"),
        "headrace.model.files",
    ),
    **dict.fromkeys(
        ("Consumer", "Place", "Problem", "ProblemLevel", "PythonBody", "SqlBody"), "headrace.model"
    ),
    **dict.fromkeys(("Compilation", "Compiled", "CompiledNode"), "headrace.plan"),
    "Lineage": "headrace.plan.impact",
    "ALL_COLUMNS": "headrace.plan.impact",
    "classified_columns": "headrace.plan.classification",
    # Packages of single assets: their locks, and a function called in another process.
    **dict.fromkeys(
        ("included_file", "lock_path", "parsed_lock", "requirements_digest"),
        "headrace.plan.requirements",
    ),
    # A function of an asset that is called in another process.
    **dict.fromkeys(
        ("AttemptScope", "BodyTask", "Handed", "InputData", "declared_types"),
        "headrace.engine.attempts",
    ),
    **dict.fromkeys(("Boundary", "context_of"), "headrace.engine.python"),
    **dict.fromkeys(
        (
            *("Container", "as_container", "is_relation", "schema_of_columns", "select_sql"),
            *("stream", "unread"),
        ),
        "headrace.engine.containers",
    ),
    **dict.fromkeys(("BodyFailed", "failed"), "headrace.engine.failures"),
    "FAILURE": "headrace.engine.command",
    "LOADER": "headrace.engine.isolation",
    "PARTITION_COLUMN": "headrace.lake",
    "CommandBody": "headrace.model",
    "NodeGraph": "headrace.plan.node_graph",
    **dict.fromkeys(("InvalidSelect", "parse"), "headrace.sql.parsing"),
    "node_row": "headrace.standing.node_rows",
    "project_state": "headrace.project.snapshots",
    # Texts of messages and of SQL.
    "counted": "headrace.model.wording",
    "few": "headrace.model.wording",
    "quote": "headrace.lake.sqltext",
    "literal": "headrace.lake.sqltext",
    # Kinds of declarations and files; each has its own entry point group.
    "CheckKind": "headrace.checks.check_kinds",
    "SourceKind": "headrace.connect.connectors",
    "RecordFormat": "headrace.connect.formats.records",
    "ExportKind": "headrace.connect.exports.registry",
}
"""Public name → the module that has it."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
