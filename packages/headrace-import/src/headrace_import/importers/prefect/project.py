"""One Prefect project as an imported project: a command for each flow."""

from __future__ import annotations

import ast
from pathlib import Path

from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.airflow.secrets_found import Secrets
from headrace_import.importers.command_projects import CommandProject, OriginTask, file_item
from headrace_import.importers.imported import Dependency, DependencyKind, ImportedProject, Verdict
from headrace_import.importers.origin_files import working_on
from headrace_import.importers.prefect.deployments import Deployment, deployments_of
from headrace_import.importers.prefect.flows import CallReader, Definition, FlowCalls, read_files
from headrace_import.importers.python_definitions import unused

RUNNER = "jobs/prefect_flow.py"
RUNNER_TEXT = '''"""Run one flow of the Prefect project in the folder that PREFECT_PROJECT names.

Arguments: the flow's file, relative to that folder, and its function.
"""

import asyncio
import inspect
import os
import runpy
import sys

file, function = sys.argv[1:]
root = os.environ["PREFECT_PROJECT"]
os.chdir(root)
sys.path[:0] = [os.path.join(root, os.path.dirname(file)), root]
flow = runpy.run_path(file)[function]
result = flow()
if inspect.isawaitable(result):
    asyncio.run(result)
'''
PASSED = ("PREFECT_PROJECT", "PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE")


def read_project(root: Path) -> ImportedProject:
    """Read the flows below a folder without running anything of them."""
    origin = Origin(root)
    project = read_files(origin)
    deployments, problems = deployments_of(origin, project)
    secrets = Secrets(origin)
    reader = CallReader(origin, project)
    flows = [item for item in project.definitions if item.is_flow]
    calls = {id(flow): reader.read(flow) for flow in flows}
    items = _Items(flows, calls, deployments)
    items.add_all([item for item in project.definitions if not item.is_flow])
    items.tasks += [
        file_item(path, reason) for path, reason in {**project.problems, **problems}.items()
    ]
    written = CommandProject("Prefect", items.tasks, (RUNNER, RUNNER_TEXT), PASSED)
    written.write()
    return ImportedProject(
        tool="prefect",
        items=tuple(written.items(secrets)),
        dependencies=tuple(items.dependencies()),
        secrets=tuple(secrets.found),
        files=dict(sorted(written.files.items())),
    )


class _Items:
    """The flows and tasks of a project, each once."""

    def __init__(
        self,
        flows: list[Definition],
        calls: dict[int, FlowCalls],
        deployments: dict[int, list[Deployment]],
    ) -> None:
        self._flows, self._calls, self._deployments = flows, calls, deployments
        self.tasks: list[OriginTask] = []
        self._flow_ids: dict[int, str] = {}
        self._task_ids: dict[tuple[int, int], str] = {}
        """(flow, task) → the id of the task in that flow."""
        self._used: set[str] = set()

    def add_all(self, tasks: list[Definition]) -> None:
        """Add flows with their tasks, then tasks that no flow calls."""
        for flow in self._flows:
            self._flow_ids[id(flow)] = unused(flow.name, self._used)
        called_tasks: set[int] = set()
        for flow in self._flows:
            with working_on(flow.file.path):
                self._add_flow(flow)
            for called in self._calls[id(flow)].called:
                if not called.is_flow:
                    called_tasks.add(id(called))
                    self._add_task(flow, called)
        for task in tasks:
            if id(task) not in called_tasks:
                self._add_uncalled(task)

    def _callers(self, flow: Definition) -> list[Definition]:
        return [
            other
            for other in self._flows
            if other is not flow and flow in self._calls[id(other)].called
        ]

    def _add_flow(self, flow: Definition) -> None:
        deployments = self._deployments.get(id(flow), [])
        callers = self._callers(flow)
        task = OriginTask(
            id=self._flow_ids[id(flow)],
            file=flow.file.path,
            line=flow.line,
            original=flow.file.original(flow.node),
            why="it runs unchanged in your Prefect environment",
            name=flow.node.name,
            description=flow.description,
            comments=flow.file.comments_above(flow.line),
        )
        self.tasks.append(task)
        if callers and not deployments:
            task.part_of = self._flow_ids[id(self._outermost(callers[0], {id(flow)}))]
            task.why = f"it runs within the flow {self._flow_ids[id(callers[0])]}, which calls it"
        elif self._is_method(flow):
            task.refuse("it is a method: only its class makes an object that runs", "write a flow")
        elif not flow.is_of_module:
            task.refuse(
                "it is defined within a function or only when its file runs as a program",
                "define the flow at the top of the file",
            )
        elif self._is_defined_again(flow):
            task.refuse("the file defines a flow of this name more than once", "keep one of them")
        elif flow.required:
            names = ", ".join(flow.required)
            task.refuse(
                f"it needs values that only a caller gives: {names}",
                "give these parameters defaults, or write a command that passes them",
            )
        else:
            task.command = ("python3", RUNNER, flow.file.path, flow.node.name)
            self._schedule(task, deployments)
        if callers and deployments:
            task.todo.append(f"{self._flow_ids[id(callers[0])]} calls it, too: it may run twice")

    def _outermost(self, flow: Definition, seen: set[int]) -> Definition:
        """Return the flow whose command runs this one, too."""
        callers = [] if self._deployments.get(id(flow)) else self._callers(flow)
        outer = next((item for item in callers if id(item) not in seen), None)
        return flow if outer is None else self._outermost(outer, {*seen, id(flow)})

    def _is_defined_again(self, flow: Definition) -> bool:
        """Whether a flow before it in the file has the same function name."""
        same = [
            other
            for other in self._flows
            if other.file is flow.file and other.node.name == flow.node.name
        ]
        return same[0] is not flow

    @staticmethod
    def _is_method(flow: Definition) -> bool:
        body = flow.file.module.tree.body
        return flow.node not in body and any(
            isinstance(item, ast.ClassDef) and flow.node in item.body
            for item in ast.walk(flow.file.module.tree)
        )

    @staticmethod
    def _schedule(task: OriginTask, deployments: list[Deployment]) -> None:
        scheduled = [item for item in deployments if item.trigger is not None]
        chosen = next(iter(scheduled or deployments), None)
        if chosen is None:
            task.trigger = "manual"
            task.todo.append("no schedule of it was found where they are read: write a trigger")
            return
        task.trigger = chosen.trigger or "manual"
        task.tags = chosen.tags
        task.todo += [chosen.note] if chosen.note else []
        if len(deployments) > 1:
            others = ", ".join(item.name for item in deployments if item is not chosen)
            task.todo.append(f"other deployments aren't carried: {others}")

    def _add_task(self, flow: Definition, called: Definition) -> None:
        flow_id = self._flow_ids[id(flow)]
        id_ = unused(f"{flow_id}.{called.name}", self._used)
        self._task_ids[(id(flow), id(called))] = id_
        owner = next(item for item in self.tasks if item.id == flow_id)
        task = OriginTask(
            id=id_,
            file=called.file.path,
            line=called.line,
            original=called.file.original(called.node),
            why=f"it runs within the flow {flow_id}: tasks of a flow hand over values in memory",
            part_of=owner.part_of or flow_id,
        )
        if owner.verdict is Verdict.PERSON:
            task.refuse(f"its flow {flow_id} is for a person", "")
        self.tasks.append(task)

    def _add_uncalled(self, called: Definition) -> None:
        task = OriginTask(
            id=unused(called.name, self._used),
            file=called.file.path,
            line=called.line,
            original=called.file.original(called.node),
            why="",
        )
        task.refuse(
            "no flow in the files calls it", "drop it, or call it from a flow if it is still needed"
        )
        self.tasks.append(task)

    def dependencies(self) -> list[Dependency]:
        """Return which tasks come after which, and which flows call which."""
        results: dict[tuple[str, str], None] = {}
        for flow in self._flows:
            calls = self._calls[id(flow)]
            ids = {id(item): self._id_in(flow, item) for item in calls.called}
            for before, after in calls.follows:
                if before != after and before in ids and after in ids:
                    results[(ids[before], ids[after])] = None
        return [Dependency(a, b, DependencyKind.EDGE) for a, b in sorted(results)]

    def _id_in(self, flow: Definition, item: Definition) -> str:
        return self._flow_ids[id(item)] if item.is_flow else self._task_ids[(id(flow), id(item))]
