"""One Dagster project as an imported project: a command for each asset and each job of ops."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.airflow.secrets_found import Secrets
from headrace_import.importers.command_projects import (
    UPSTREAM,
    CommandProject,
    OriginTask,
    cron_trigger,
    file_item,
)
from headrace_import.importers.dagster.definitions import (
    DagsterFiles,
    Defined,
    asset_key,
    key_of,
    read_files,
    texts_of,
)
from headrace_import.importers.dagster.partitions import NotCarried, Partitions, partitions_of
from headrace_import.importers.dagster.pure import inputs_of, is_pure, module_text
from headrace_import.importers.dagster.schedules import Schedule, schedules_of
from headrace_import.importers.imported import Dependency, DependencyKind, ImportedProject, Verdict
from headrace_import.importers.origin_files import working_on
from headrace_import.importers.python_definitions import argument, unused

RUNNER = "jobs/dagster_work.py"
RUNNER_TEXT = '''"""Run one asset or one job of the Dagster project in DAGSTER_PROJECT's folder.

Arguments: `asset` or `job`, how Dagster finds the code (`-f FILE` or `-m MODULE`), the name, and
for a partitioned asset the format of Dagster's partition keys, `{key}` for one that is no date.
"""

import json
import os
import subprocess
import sys
from datetime import datetime

kind, option, code, name, *key_format = sys.argv[1:]
with open(os.environ["HEADRACE_CONTEXT"], encoding="utf-8") as file:
    context = json.load(file)

if kind == "asset":
    command = ["dagster", "asset", "materialize", option, code, "--select", name]
else:
    command = ["dagster", "job", "execute", option, code, "--job", name]
if key_format:
    key = key_format[0]
    if context["interval"]:
        key = datetime.fromisoformat(context["interval"]["start"]).strftime(key)
    command += ["--partition", key.replace("{key}", str(context.get("partition_key")))]
sys.exit(subprocess.call(command, cwd=os.environ["DAGSTER_PROJECT"]))
'''
PASSED = ("DAGSTER_PROJECT", "DAGSTER_HOME")
CONDITIONS = ("automation_condition", "auto_materialize_policy")
"""Arguments of an asset by which Dagster itself starts it."""
CONTEXTS = frozenset({"context", "config", "_context", "self"})


def read_project(root: Path) -> ImportedProject:
    """Read the definitions below a folder without running anything of them."""
    origin = Origin(root)
    project = read_files(origin)
    secrets = Secrets(origin)
    items = _Items(origin, project)
    items.add_all()
    items.tasks += [file_item(path, reason) for path, reason in project.problems.items()]
    written = CommandProject("Dagster", items.tasks, (RUNNER, RUNNER_TEXT), PASSED)
    written.write()
    return ImportedProject(
        tool="dagster",
        items=tuple(written.items(secrets)),
        dependencies=tuple(items.dependencies),
        secrets=tuple(secrets.found),
        files=dict(sorted(written.files.items())),
    )


class _Items:
    """Assets, jobs, ops, checks, schedules and sensors of a project, each once."""

    def __init__(self, origin: Origin, project: DagsterFiles) -> None:
        self._origin, self._project = origin, project
        self.tasks: list[OriginTask] = []
        self.dependencies: list[Dependency] = []
        self._used: set[str] = set()
        self._assets: dict[str, tuple[Defined, OriginTask]] = {}
        """Key of an asset → its definition and its task."""
        self._external: dict[str, OriginTask] = {}
        self._partitions: dict[str, Partitions | None] = {}

    def add_all(self) -> None:
        """Add everything; what refers to assets comes after them."""
        for item in self._project.of("asset", "multi_asset"):
            with working_on(item.file.path):
                self._add_asset(item)
        for item in self._project.of("external", "dbt"):
            self._add_outside(item)
        self._connect_assets()
        for item in self._project.of("check"):
            with working_on(item.file.path):
                self._add_check(item)
        self._add_jobs()
        schedules = schedules_of(self._project)
        self._apply_schedules(schedules)
        for schedule in schedules:
            self._add_schedule(schedule)
        self._carry_pure()
        for item in self._project.of("sensor"):
            self._add(item, item.name).refuse(
                "a sensor decides at run time what starts",
                "use a trigger (arrival, upstream, webhook), or start it by hand",
            )

    def _add(self, item: Defined, wanted: str) -> OriginTask:
        name = unused(wanted, self._used)
        task = OriginTask(
            id=name,
            file=item.file.path,
            line=item.line,
            original=item.file.original(item.node),
            why="it runs unchanged in your Dagster environment",
            description=item.description,
            comments=item.file.comments_above(item.line),
        )
        self.tasks.append(task)
        return task

    # Assets

    def _add_asset(self, item: Defined) -> None:
        keys = [asset_key(item)] if item.kind == "asset" else list(_keys_of_several(item))
        keys = keys or [""]
        first = self._add(item, keys[0] or f"*{item.name}")
        if not item.is_of_module:
            first.refuse(
                "a function makes it: how often, and under which key, is known only at run time",
                "write its asset by hand",
            )
            return
        if not all(keys):
            first.refuse("its key is known only at run time", "write its asset by hand")
            return
        self._assets[keys[0]] = (item, first)
        for key in keys[1:]:
            part = self._add(item, key)
            part.part_of, part.why = first.id, f"it is computed with {first.id}"
            self._assets[key] = (item, part)
        try:
            partitions = partitions_of(item.file, item.argument("partitions_def"))
        except NotCarried as refusal:
            for key in keys:
                self._assets[key][1].refuse(
                    str(refusal), "decide on partitions, and write its asset by hand"
                )
            return
        self._describe(item, first, partitions, ",".join(keys))

    def _carry_pure(self) -> None:
        """Carry assets that only compute rows, if nothing that stays in Dagster shares them."""
        if any("io_manager" in file.module.text for file in self._project.files.values()):
            return  # others may read what another IO manager than Dagster's own writes
        if any(problem for problem in self._project.problems) or self._has_loaded_prefix():
            return
        pure = {
            task.id: (item, task)
            for item, task in self._assets.values()
            if task.command and item.kind == "asset" and is_pure(item)
        }
        while left := [name for name, pair in pure.items() if not self._is_closed(*pair, pure)]:
            for name in left:
                del pure[name]
        for item, task in pure.values():
            task.verdict, task.todo = Verdict.CARRIED, []
            task.why = "its function only computes rows: it is that of a Python asset"
            task.inputs = self._inputs_of(item)
            task.code = partial(module_text, item, partitions=self._partitions[task.id])

    def _is_closed(
        self, item: Defined, task: OriginTask, pure: Mapping[str, tuple[Defined, OriginTask]]
    ) -> bool:
        """Whether all assets before and after it are pure, too, and have its partitions."""
        near = {edge.origin for edge in self.dependencies if edge.target == task.id}
        near |= {edge.target for edge in self.dependencies if edge.origin == task.id}
        inputs = self._inputs_of(item)
        own_partitions = self._partitions[task.id]
        same = all(self._partitions.get(name) in (own_partitions, None) for name in inputs.values())
        wanted = {parameter.arg for parameter in inputs_of(item)}
        return near <= pure.keys() and same and wanted == inputs.keys()

    def _inputs_of(self, item: Defined) -> dict[str, str]:
        """Return argument → id of the asset that it is."""
        results: dict[str, str] = {}
        for parameter in inputs_of(item):
            pair = self._assets.get(parameter.arg) or self._by_last_part(parameter.arg)
            if pair is not None and pair[0] is not item:
                results[parameter.arg] = pair[1].id
        return results

    def _describe(
        self, item: Defined, task: OriginTask, partitions: Partitions | None, select: str
    ) -> None:
        self._partitions[task.id] = partitions
        words = ["python3", RUNNER, "asset", *self._code_location(item), select]
        if partitions is not None:
            words.append(partitions.key_format)
            task.partition, task.start = partitions.by, partitions.start
            task.grain = partitions.grain
            task.timezone = partitions.timezone
        task.command = tuple(words)
        task.name = task.id.replace("/", "_")
        conditions = [name for name in CONDITIONS if item.argument(name) is not None]
        task.todo += [f"its {name} starts it: write a trigger like it" for name in conditions]
        group = item.file.text(item.argument("group_name"))
        task.tags = (group,) if group else ()
        owners = item.file.known(item.argument("owners"), [])
        if isinstance(owners, list) and owners and isinstance(owners[0], str):
            task.owner = owners[0].removeprefix("team:")
        if self._has_loaded_prefix():
            task.todo.append("assets are loaded with a key prefix: add it to the command's key")

    def _has_loaded_prefix(self) -> bool:
        return any(
            isinstance(node, ast.Call)
            and file.name_of(node.func).rpartition(".")[2].startswith("load_assets_from")
            and argument(node, "key_prefix") is not None
            for file in self._project.files.values()
            for node in ast.walk(file.module.tree)
        )

    def _code_location(self, item: Defined) -> tuple[str, str]:
        """Return how Dagster is told where the definitions are."""
        with_definitions = [
            path
            for path, file in self._project.files.items()
            if any(
                isinstance(node, ast.Call) and file.name_of(node.func) == "dagster.Definitions"
                for node in ast.walk(file.module.tree)
            )
        ]
        path = with_definitions[0] if len(with_definitions) == 1 else item.file.path
        folder = PurePosixPath(path).parent
        if f"{folder}/__init__.py" in self._origin.paths:
            module = path.removesuffix(".py").removesuffix("/__init__")
            return "-m", module.replace("/", ".")
        return "-f", path

    def _add_outside(self, item: Defined) -> None:
        if item.kind == "dbt":
            self._add(item, f"*{item.name}").refuse(
                "its assets are the models of a dbt project", "import that with `import dbt`"
            )
            return
        key = asset_key(item)
        task = self._add(item, key or "*")
        task.refuse("its data comes from outside", "declare a source, and name it in `inputs:`")
        if key:
            self._external[key] = task

    def _connect_assets(self) -> None:
        for item, task in self._assets.values():
            for key in dict.fromkeys(self._upstream(item)):
                upstream = self._assets.get(key) or self._by_last_part(key)
                if upstream is None and key in self._external:
                    self._connect(self._external[key], task)
                elif upstream is not None and upstream[0] is not item:
                    self._connect(upstream[1], task)

    def _connect(self, before: OriginTask, task: OriginTask) -> None:
        self._edge(before.id, task.id)
        task.depends.append(before.part_of or before.id)
        if before.verdict is Verdict.PERSON and task.verdict is not Verdict.PERSON:
            task.todo.append(f"it comes after {before.id}: add `depends:` once that exists")

    def _by_last_part(self, key: str) -> tuple[Defined, OriginTask] | None:
        """Return the only asset whose key ends with this name: arguments have no prefix."""
        same = [pair for name, pair in self._assets.items() if name.rpartition("/")[2] == key]
        return same[0] if len(same) == 1 and "/" not in key else None

    def _upstream(self, item: Defined) -> Iterator[str]:
        """Return keys of assets that an asset names: `deps`, `ins`, and its arguments."""
        for name in ("deps", "non_argument_deps"):
            node = item.argument(name)
            if isinstance(node, ast.List | ast.Tuple | ast.Set):
                yield from (self._key(item, element) for element in node.elts)
        if item.function is not None:
            renamed = _renamed_inputs(item)
            spec = item.function.args
            names = [
                parameter.arg for parameter in [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
            ]
            yield from (renamed.get(name, name) for name in names if name not in CONTEXTS)

    def _key(self, item: Defined, node: ast.expr) -> str:
        if isinstance(node, ast.Call) and item.file.name_of(node.func).endswith("AssetDep"):
            inner = argument(node, "asset", 0)
            return self._key(item, inner) if inner is not None else ""
        known = key_of(item.file, node)
        if known:
            return known
        other = self._project.named(item.file, node)
        return asset_key(other) if other is not None and other.kind != "op" else ""

    def _edge(self, before: str, after: str, how: DependencyKind = DependencyKind.EDGE) -> None:
        dependency = Dependency(before, after, how)
        if dependency not in self.dependencies:
            self.dependencies.append(dependency)

    def _add_check(self, item: Defined) -> None:
        node = item.argument("asset", 0)
        key = self._key(item, node) if node is not None else ""
        task = self._add(item, f"{key or '*'}:{item.name}")
        pair = self._assets.get(key)
        if pair is None:
            task.refuse("the asset that it checks isn't in the files", "write a check by hand")
            return
        task.part_of = pair[1].part_of or pair[1].id
        blocks = item.file.known(item.argument("blocking"), False) is True
        effect = "a failure fails the asset's command" if blocks else "a failure holds nothing back"
        task.why = f"Dagster runs it when it materializes {key}; {effect}"
        task.todo.append("write it as a check of Headrace once the asset's rows are in the lake")
        self._edge(pair[1].id, task.id)
        if pair[1].verdict is Verdict.PERSON:
            task.refuse(f"its asset {key} is for a person", "write a check by hand")

    # Jobs

    def _add_jobs(self) -> None:
        called: set[int] = set()
        for job in self._project.of("job"):
            with working_on(job.file.path):
                called |= self._add_job(job)
        for job in self._project.of("asset_job"):
            self._add_asset_job(job)
        for op in self._project.of("op", "graph"):
            if id(op) not in called:
                self._add(op, op.name).refuse(
                    "no `@job` in the files calls it", "drop it, or call it from a job"
                )

    def _add_asset_job(self, job: Defined) -> None:
        task = self._add(job, job.name)
        task.verdict, task.why = Verdict.CARRIED, "it only selects assets, which are commands"
        selected = [self._assets[key][1] for key in sorted(self._selected(job))]
        left = [asset.id for asset in selected if asset.verdict is Verdict.PERSON]
        if left:
            task.refuse(f"it selects {', '.join(left)}, for a person", "decide on those first")
        elif not selected:
            task.refuse(
                "which assets it selects isn't written out", "start those with `headrace run`"
            )

    def _add_job(self, job: Defined) -> set[int]:
        task = self._add(job, job.name)
        task.name = job.name
        task.trigger = "manual"
        if job.function is None:
            task.refuse("its graph is known only at run time", "write its asset by hand")
            return set()
        if job.argument("partitions_def") is not None:
            task.refuse(
                "it has partitions of its own", "pass the partition in a command of your own"
            )
        else:
            task.command = ("python3", RUNNER, "job", *self._code_location(job), job.name)
        return self._add_ops(task, job, task.id, set())

    def _add_ops(self, job: OriginTask, item: Defined, prefix: str, seen: set[int]) -> set[int]:
        """Add the ops that a job or graph calls, nested graphs included; return all of them."""
        assert item.function is not None
        values: dict[str, set[str]] = {}
        ids: dict[int, str] = {}
        for statement in item.function.body:
            self._ops_in(job, item, statement, prefix, values, ids, seen)
        return seen

    def _ops_in(
        self,
        job: OriginTask,
        item: Defined,
        node: ast.AST,
        prefix: str,
        values: dict[str, set[str]],
        ids: dict[int, str],
        seen: set[int],
    ) -> set[str]:
        """Add the ops called in a node; return the ids whose results it depends on."""
        if isinstance(node, ast.Name):
            return set(values.get(node.id, ()))
        used: set[str] = set()
        for child in ast.iter_child_nodes(node):
            used |= self._ops_in(job, item, child, prefix, values, ids, seen)
        op = self._project.named(item.file, node.func) if isinstance(node, ast.Call) else None
        if op is not None and op.kind in ("op", "graph") and op is not item:
            return {self._op_id(job, op, prefix, used, ids, seen)}
        for name in _assigned(node):
            values.setdefault(name, set()).update(used)
        return used

    def _op_id(
        self,
        job: OriginTask,
        op: Defined,
        prefix: str,
        used: set[str],
        ids: dict[int, str],
        seen: set[int],
    ) -> str:
        if id(op) not in ids:
            part = self._add(op, f"{prefix}.{op.name}")
            part.part_of = job.id
            part.why = f"it runs within the job {job.id}: ops hand over values to each other"
            if job.verdict is Verdict.PERSON:
                part.refuse(f"its job {job.id} is for a person", "")
            ids[id(op)] = part.id
            is_new = id(op) not in seen
            seen.add(id(op))
            if op.kind == "graph" and is_new and op.function is not None:
                self._add_ops(job, op, part.id, seen)
        for before in sorted(used - {ids[id(op)]}):
            self._edge(before, ids[id(op)])
        return ids[id(op)]

    # Schedules

    def _apply_schedules(self, schedules: list[Schedule]) -> None:
        """Give assets and jobs the cron of the schedule that starts them."""
        scheduled: set[str] = set()
        for schedule in schedules:
            targets = self._targets(schedule)
            trigger = _trigger_of(schedule, targets)
            for task in targets if trigger is not None else ():
                schedule.targets.append(task.id)
                if task.id not in scheduled:
                    scheduled.add(task.id)
                    task.trigger = trigger
        for _, task in self._assets.values():
            self._without_own_schedule(task)

    def _without_own_schedule(self, task: OriginTask) -> None:
        if task.part_of or task.verdict is Verdict.PERSON:
            return
        ids = {item.id for item in self.tasks if item.command}
        depends = [before for before in task.depends if before in ids]
        if depends and task.partition:
            task.trigger = None
        elif depends and task.trigger is None:
            task.trigger = UPSTREAM
        elif task.trigger is None:
            task.trigger = "manual"
            task.todo.append("no schedule in the files starts it: write a trigger")

    def _targets(self, schedule: Schedule) -> list[OriginTask]:
        """Return the tasks with commands of their own that a schedule starts."""
        by_id = {task.id: task for task in self.tasks}
        job = schedule.job
        if job is None:
            return []
        if job.kind != "asset_job":
            return [by_id[job.name]] if job.name in by_id else []
        keys = self._selected(job)
        return [task for key, (_, task) in self._assets.items() if key in keys and task.command]

    def _selected(self, job: Defined) -> set[str]:
        """Return the keys that a job's selection names, if it is written out."""
        node = job.argument("selection", 1)
        text = job.file.text(node)
        if node is None or text == "*" or _is_all(job, node):
            return set(self._assets)
        if isinstance(node, ast.Call):
            return self._selection(job, node)
        names = [text] if text else job.file.known(node, [])
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return {name for name in names if name in self._assets}
        elements = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
        return {self._key(job, element) for element in elements} & set(self._assets)

    def _selection(self, job: Defined, call: ast.Call) -> set[str]:
        """Return the keys of `AssetSelection.assets(…)`, `keys(…)` and `groups(…)`."""
        kind = job.file.name_of(call.func).rpartition(".AssetSelection.")[2]
        if kind in ("assets", "keys"):
            return {self._key(job, element) for element in call.args}
        groups = {job.file.text(element) for element in call.args} if kind == "groups" else set()
        return {
            key
            for key, (item, _) in self._assets.items()
            if item.file.text(item.argument("group_name")) in groups
        }

    def _add_schedule(self, schedule: Schedule) -> None:
        task = self._add(schedule.item, schedule.name)
        if schedule.computed:
            task.refuse(
                "its function decides at run time what starts, and with which configuration",
                "write a trigger of the assets that it starts",
            )
        elif not schedule.targets:
            task.refuse(
                "what it starts, or when, isn't written out in the files",
                "write a trigger of the assets that it starts",
            )
        else:
            named = ", ".join(schedule.targets[:3]) + (" …" if len(schedule.targets) > 3 else "")
            task.verdict, task.why = Verdict.CARRIED, f"its cron is the trigger of {named}"
            task.part_of = schedule.targets[0]


def _trigger_of(schedule: Schedule, targets: list[OriginTask]) -> dict[str, str] | None:
    cron = schedule.cron
    if schedule.offset is not None:
        cron = _cron_of_partitions(targets, *schedule.offset)
    trigger = cron_trigger(cron)
    if trigger is None or schedule.computed:
        return None
    return trigger | ({"timezone": schedule.timezone} if schedule.timezone else {})


def _cron_of_partitions(targets: list[OriginTask], hour: int, minute: int) -> str:
    """Return when a schedule of a partitioned job fires; empty if its partitions differ."""
    grains = {task.grain for task in targets}
    times = {"hour": f"{minute} * * * *", "day": f"{minute} {hour} * * *"}
    return times.get(grains.pop(), "") if len(grains) == 1 else ""


def _keys_of_several(item: Defined) -> Iterator[str]:
    """Return the keys of a multi-asset, from `outs` or `specs`."""
    outs, specs = item.argument("outs"), item.argument("specs")
    if isinstance(outs, ast.Dict):
        for key, value in zip(outs.keys, outs.values, strict=True):
            yield _key_of_out(item, item.file.text(key), value)
    elif isinstance(specs, ast.List | ast.Tuple):
        for element in specs.elts:
            inner = argument(element, "key", 0) if isinstance(element, ast.Call) else None
            yield key_of(item.file, inner) if inner is not None else ""


def _key_of_out(item: Defined, name: str, value: ast.expr) -> str:
    """Return the key of one of `outs`: `AssetOut(…)` may rename it or give it a prefix."""
    call = value if isinstance(value, ast.Call) else None
    given = argument(call, "key")
    if given is not None:
        return key_of(item.file, given)
    parts = texts_of(item.file, argument(call, "key_prefix"))
    return "/".join([*parts, name]) if parts is not None else ""


def _renamed_inputs(item: Defined) -> dict[str, str]:
    """Return the keys that `ins` gives to arguments."""
    ins = item.argument("ins")
    if not isinstance(ins, ast.Dict):
        return {}
    results: dict[str, str] = {}
    for key, value in zip(ins.keys, ins.values, strict=True):
        name = item.file.text(key)
        given = argument(value, "key", 0) if isinstance(value, ast.Call) else None
        results[name] = key_of(item.file, given) if given is not None else name
    return results


def _assigned(node: ast.AST) -> Iterator[str]:
    """Return the names that an assignment gives values to."""
    if isinstance(node, ast.Assign):
        names = [name for target in node.targets for name in ast.walk(target)]
        yield from (name.id for name in names if isinstance(name, ast.Name))


def _is_all(job: Defined, node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and job.file.name_of(node.func).endswith("AssetSelection.all")
