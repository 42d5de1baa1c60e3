"""A new project in which everything runs as a command of the origin's own environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_import.importers.airflow.naming import Names, cleaned, owner_name
from headrace_import.importers.airflow.secrets_found import Secrets
from headrace_import.importers.airflow.validity import invalid_files
from headrace_import.importers.imported import (
    ORIGINAL_CHARACTERS_MAX,
    UNRESTRICTED,
    ImportedItem,
    Verdict,
)
from headrace_import.importers.yaml_text import mapping

DESCRIPTION_CHARACTERS_MAX = 300
UPSTREAM = "upstream"
_RANGE_OF_ONE = re.compile(r"\b(\w+)-\1\b")
COMMAND_TIMEOUT = "1d"
"""The origin has no time limit of its own; Headrace's is an hour."""


@dataclass(slots=True)
class OriginTask:
    """One thing of the origin, and what becomes of it."""

    id: str
    file: str
    line: int
    original: str
    why: str
    verdict: Verdict = Verdict.COMMAND
    todo: list[str] = field(default_factory=list)
    command: tuple[str, ...] = ()
    """The words of its asset's command; empty if it has no asset of its own."""
    part_of: str = ""
    """The id of the task whose asset does its work."""
    name: str = ""
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    trigger: Mapping[str, Any] | str | None = None
    """A trigger of Headrace; `UPSTREAM` starts the asset after the last one that it depends on."""
    partition: Any = ""
    grain: str = ""
    """The grain of a partition by time alone."""
    start: str = ""
    timezone: str = ""
    depends: list[str] = field(default_factory=list)
    """Ids of tasks whose assets come before its own."""
    comments: list[str] = field(default_factory=list)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Argument of its function → id of the task whose rows it is; for assets with `code`."""
    code: Callable[[Mapping[str, Any], Mapping[str, str]], str] | None = None
    """Writes the Python file of its asset from the asset's fields and its inputs' names."""

    def refuse(self, why: str, todo: str) -> None:
        """Leave it to a person."""
        self.verdict, self.why, self.todo, self.command = Verdict.PERSON, why, [todo], ()
        self.code = None


@dataclass(slots=True)
class CommandProject:
    """The files of the new project, and which file each task's asset is."""

    title: str
    """The origin's name in comments: `Prefect`."""
    tasks: list[OriginTask]
    runner: tuple[str, str]
    """Path and text of the program that starts the origin's work."""
    passed: tuple[str, ...]
    """Environment variables that its commands need."""
    files: dict[str, str] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        """Write all files; a task whose asset isn't valid is left to a person."""
        self._write()
        refused = invalid_files(self.files)
        by_file = {path: task_id for task_id, path in self.created.items()}
        broken = {by_file[path]: text for path, text in refused.items() if path in by_file}
        for task in self.tasks:
            if task.id in broken:
                task.refuse(f"its asset isn't valid: {broken[task.id]}", "write it by hand")
        if broken:
            self._write()

    def _write(self) -> None:
        self.files, self.created = {}, {}
        names, assets = Names(), {}
        for task in self.tasks:
            if task.command:
                assets[task.id] = names.take(task.name or task.id, task.id)
        owners: set[str] = set()
        for task in self.tasks:
            if task.command:
                owner = _one_owner(task.owner or self.title.lower(), owners)
                path = f"assets/{assets[task.id]}.{'py' if task.code else 'yaml'}"
                self.files[path] = self._asset(task, assets, owner)
                self.created[task.id] = path
        passed = ", ".join(f'"{name}"' for name in self.passed)
        self.files["headrace.toml"] = (
            '[project]\nname = "imported"\ntimezone = "UTC"\n\n'
            + "\n".join(("[run]", f"pass_environment = [{passed}]", *UNRESTRICTED, ""))
        )
        self.files["owners.yaml"] = mapping(
            {owner: {"kind": "team"} for owner in sorted(owners or {self.title.lower()})}
        )
        self.files |= self._program()

    def _program(self) -> dict[str, str]:
        """Return the program that starts the origin's work, if a command needs it."""
        path, text = self.runner
        return {path: text} if any(t.command and t.code is None for t in self.tasks) else {}

    def _asset(self, task: OriginTask, assets: Mapping[str, str], owner: str) -> str:
        depends = [assets[before] for before in dict.fromkeys(task.depends) if before in assets]
        depends = [name for name in depends if name != assets[task.id]]
        given: dict[str, Any] = {
            "asset": assets[task.id],
            "owner": owner,
            "description": " ".join(task.description.split())[:DESCRIPTION_CHARACTERS_MAX],
            "tags": list(dict.fromkeys(cleaned(tag) for tag in task.tags if tag)),
            "depends": depends,
            "trigger": {"upstream": depends[-1]} if task.trigger == UPSTREAM else task.trigger,
            "partition": task.partition,
            "start": task.start,
            "timezone": task.timezone,
            "timeout": COMMAND_TIMEOUT,
            "materialize": "none",
            "command": list(task.command),
        }
        if task.code is not None:
            return self._python(task, given, assets)
        fields = {name: value for name, value in given.items() if value}
        lines = [f"{self.title}: {task.id} ({task.file}:{task.line})", *task.comments]
        return _comments(lines) + mapping(fields)

    @staticmethod
    def _python(task: OriginTask, given: Mapping[str, Any], assets: Mapping[str, str]) -> str:
        assert task.code is not None
        inputs = {argument: assets[before] for argument, before in task.inputs.items()}
        left_out = ("asset", "timeout", "materialize", "command")
        fields = {name: value for name, value in given.items() if name not in left_out}
        fields["depends"] = [name for name in given["depends"] if name not in inputs.values()]
        if task.trigger == UPSTREAM and inputs:
            fields["trigger"] = None
        listed = {"inputs": list(dict.fromkeys(inputs.values()))}
        return task.code({"name": assets[task.id], **fields, **listed}, inputs)

    def items(self, secrets: Secrets) -> list[ImportedItem]:
        """Return an item for each task."""
        return [
            ImportedItem(
                id=task.id,
                file=task.file,
                line=task.line,
                verdict=task.verdict,
                created=self._created_of(task),
                why=secrets.redacted(task.why),
                todo=secrets.redacted("; ".join(task.todo)),
                original=secrets.redacted(task.original)[:ORIGINAL_CHARACTERS_MAX],
            )
            for task in self.tasks
        ]

    def _created_of(self, task: OriginTask) -> tuple[str, ...]:
        path = self.created.get(task.part_of or task.id)
        return (path,) if path and task.verdict is not Verdict.PERSON else ()


def _one_owner(text: str, owners: set[str]) -> str:
    """Add an owner, and return its name: names that differ in case are one."""
    wanted = owner_name(text)
    owner = next((name for name in owners if name.lower() == wanted.lower()), wanted)
    owners.add(owner)
    return owner


def cron_trigger(cron: str) -> dict[str, str] | None:
    """Return a trigger for a cron expression that croniter reads; None where libraries disagree.

    That is one without five fields, or with a range of one value, which croniter 7 takes for all.
    Of a day and a weekday, either suffices for croniter, while Headrace, as cron does, needs both
    if one of them begins with `*`: its steps are written as a range.
    """
    fields = cron.split()
    if len(fields) != 5 or _RANGE_OF_ONE.search(cron):
        return None
    _, _, day, _, weekday = fields
    if "*" not in (day, weekday):
        fields[2] = re.sub(r"^\*/", "1-31/", day)
        fields[4] = re.sub(r"^\*/", "0-6/", weekday)
    return {"cron": " ".join(fields), "catch_up": "latest"}


def file_item(path: str, reason: str) -> OriginTask:
    """Return the task that stands for a file that can't be read."""
    return OriginTask(
        id=path,
        file=path,
        line=1,
        original="",
        why=reason,
        verdict=Verdict.PERSON,
        todo=["correct the file, or write by hand what it defines"],
    )


def _comments(lines: Iterable[str]) -> str:
    return "".join(f"# {' '.join(line.split())}".rstrip() + "\n" for line in lines)
