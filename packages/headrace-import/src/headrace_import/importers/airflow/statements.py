"""Follow the statements of a DAG file, and read what it builds."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from contextlib import suppress

from headrace_import.importers.airflow.building import (
    Builder,
    decorated,
    decorator_kind,
    is_data,
    is_operator,
)
from headrace_import.importers.airflow.expressions import TooMuchWork
from headrace_import.importers.airflow.origin import FAKE_ROOT, Origin, UnreadableFile
from headrace_import.importers.airflow.values import (
    Class,
    Dag,
    Decorated,
    External,
    ExternalCall,
    Function,
    Group,
    Instance,
    ProjectModule,
    Scope,
    Task,
    Unknown,
    Value,
    is_known,
)

IMPORTS_DEEP_MAX = 20
LOOPS_MAX = 1_000


class _Return(Exception):
    def __init__(self, value: Value) -> None:
        super().__init__()
        self.value = value


class _Leave(Exception):
    """`break` or `continue`."""

    def __init__(self, *, again: bool) -> None:
        super().__init__()
        self.again = again


class Interpreter(Builder):
    """Evaluates a file's statements in order. It runs nothing of the file."""

    def __init__(self, origin: Origin, file: str, modules: dict[str, Scope] | None = None) -> None:
        super().__init__(origin, file)
        self._modules = {} if modules is None else modules
        self._importing: list[str] = []
        self._maybe: list[list[Value]] = []
        self._statements: dict[type[ast.stmt], Callable[[ast.stmt, Scope], None]] = {
            ast.Expr: self._expression,
            ast.Assign: self._assignment,
            ast.AnnAssign: self._annotated,
            ast.AugAssign: self._augmented,
            ast.If: self._if,
            ast.For: self._for,
            ast.While: self._while,
            ast.With: self._with,
            ast.AsyncWith: self._with,
            ast.Try: self._try,
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.ClassDef: self._class,
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.Return: self._return,
            ast.Break: self._leave,
            ast.Continue: self._leave,
            ast.Match: self._match,
        }

    def read(self) -> str:
        """Follow the file's statements; return why not all of them, else an empty string.

        Raises `UnreadableFile`.
        """
        tree = self.origin.module(self.file).tree
        try:
            self.block(tree.body, self._module_scope(self.file, tree))
        except TooMuchWork:
            return "it builds more than an import follows"
        except RecursionError:
            return "its code is nested too deeply to be followed"
        except (_Return, _Leave):
            pass
        if self.not_followed and not self.dags and not self.tasks and self._is_dag_file():
            names = ", ".join(f"`{name}(…)`" for name in dict.fromkeys(self.not_followed[:3]))
            return f"which DAGs it builds isn't known: it calls {names}"
        return ""

    def _is_dag_file(self) -> bool:
        """Whether Airflow would import the file, by the words that it looks for."""
        text = self.origin.module(self.file).text.lower()
        return "airflow" in text and "dag" in text and not self.file.endswith("setup.py")

    @staticmethod
    def _module_scope(file: str, tree: ast.Module | None = None) -> Scope:
        path = f"{FAKE_ROOT}/{file}"
        doc = ast.get_docstring(tree) if tree is not None else None
        return Scope({"__file__": path, "__name__": "dags", "__doc__": doc}, None, file)

    def block(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Follow statements in order."""
        for statement in body:
            self.count_step()
            method = self._statements.get(type(statement))
            if method is not None:
                method(statement, scope)

    def execute_function(self, function: Function, scope: Scope) -> Value:
        if isinstance(function.node, ast.Lambda):
            return self.evaluate(function.node.body, scope)
        self._maybe.append([])
        try:
            self.block(function.node.body, scope)
            result: Value = None
        except _Return as returned:
            result = returned.value
        except _Leave:
            result = None
        possible = self._maybe.pop()
        return next((value for value in possible if value is not None), None) or result

    # Simple statements

    def _expression(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.Expr)
        self.evaluate(node.value, scope)

    def _assignment(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.Assign)
        value = self.evaluate(node.value, scope)
        for target in node.targets:
            self.assign(target, value, scope)

    def _annotated(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.AnnAssign)
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value, scope), scope)

    def _augmented(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.AugAssign)
        combined = ast.BinOp(node.target, node.op, node.value)
        self.assign(node.target, self.evaluate(combined, scope), scope)

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target.elts, value, scope)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, value, scope)
        elif isinstance(target, ast.Attribute):
            self._assign_attribute(self.evaluate(target.value, scope), target.attr, value)
        elif isinstance(target, ast.Subscript):
            owner = self.evaluate(target.value, scope)
            key = self.evaluate(target.slice, scope)
            if isinstance(owner, dict) and is_known(key) and not isinstance(key, list | dict):
                owner[key] = value

    def _unpack(self, targets: list[ast.expr], value: Value, scope: Scope) -> None:
        known = isinstance(value, list | tuple) and len(value) == len(targets)
        starred = any(isinstance(target, ast.Starred) for target in targets)
        for position, target in enumerate(targets):
            part = value[position] if known and not starred else Unknown("a part of a value")
            self.assign(target, part, scope)

    @staticmethod
    def _assign_attribute(owner: Value, name: str, value: Value) -> None:
        if isinstance(owner, Instance):
            owner.names[name] = value
        elif isinstance(owner, Task | Dag):
            owner.kwargs[name] = value

    # Branches and loops

    def _if(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.If)
        truth = self.truth(self.evaluate(node.test, scope))
        if truth is not None:
            self.cover(node.orelse if truth else node.body)
            self.block(node.body if truth else node.orelse, scope)
            return
        text = ast.unparse(node.test)[:100]
        before = dict(scope.names)
        self._possibly(node.body, scope, f"if {text}")
        taken, scope.names = scope.names, dict(before)
        self._possibly(node.orelse, scope, f"unless {text}")
        scope.names = _merged(taken, scope.names, text)

    def cover(self, body: Sequence[ast.stmt]) -> None:
        """Note statements that are known not to run."""
        self.covered |= {id(inner) for part in body for inner in ast.walk(part)}

    def _possibly(self, body: Sequence[ast.stmt], scope: Scope, condition: str) -> None:
        """Follow statements that only some runs reach."""
        self.conditions.append(condition)
        try:
            self.block(body, scope)
        except _Return as returned:
            if self._maybe:
                self._maybe[-1].append(returned.value)
        except _Leave:
            pass
        finally:
            self.conditions.pop()

    def _for(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.For)
        value = self.evaluate(node.iter, scope)
        items = self.iterated(value)
        unknown = len(items) == 1 and isinstance(items[0], Unknown)
        self.repeating += unknown
        self.cover([] if items else node.body)
        try:
            for item in items:
                self.count_step()
                self.assign(node.target, item, scope)
                if self._body_ends(node.body, scope):
                    return
        finally:
            self.repeating -= unknown
        self.block(node.orelse, scope)

    def _body_ends(self, body: Sequence[ast.stmt], scope: Scope) -> bool:
        try:
            self.block(body, scope)
        except _Leave as leave:
            return not leave.again
        return False

    def _while(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.While)
        for _ in range(LOOPS_MAX):
            truth = self.truth(self.evaluate(node.test, scope))
            if truth is False:
                return
            if truth is None:
                self.repeating += 1
                self._possibly(node.body, scope, f"while {ast.unparse(node.test)[:100]}")
                self.repeating -= 1
                return
            if self._body_ends(node.body, scope):
                return

    def _with(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.With | ast.AsyncWith)
        self._with_items(list(node.items), node.body, scope)

    def _with_items(
        self, items: list[ast.withitem], body: Sequence[ast.stmt], scope: Scope
    ) -> None:
        if not items:
            self.block(body, scope)
            return
        value = self.evaluate(items[0].context_expr, scope)
        if items[0].optional_vars is not None:
            self.assign(items[0].optional_vars, value, scope)
        if isinstance(value, Dag | Group):
            with self.within(value):
                self._with_items(items[1:], body, scope)
        elif isinstance(value, Unknown | ExternalCall) and "dag" in ast.unparse(items[0]).lower():
            self.hidden_deep += 1
            self._with_items(items[1:], body, scope)
            self.hidden_deep -= 1
        else:
            with self.setup_blocks.within(value):
                self._with_items(items[1:], body, scope)

    def _try(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.Try)
        self.block(node.body, scope)
        self.block(node.orelse, scope)
        self.block(node.finalbody, scope)

    def _match(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.Match)
        text = ast.unparse(node.subject)[:100]
        for case in node.cases:
            self._possibly(case.body, scope, f"by the value of {text}")

    def _return(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.Return)
        raise _Return(self.evaluate(node.value, scope))

    def _leave(self, node: ast.stmt, _scope: Scope) -> None:
        raise _Leave(again=isinstance(node, ast.Continue))

    # Definitions

    def _function(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        value: Value = Function(node, scope)
        for decorator in reversed(node.decorator_list):
            value = self._decorate(value, decorator, scope)
        scope.names[node.name] = value

    def _decorate(self, value: Value, decorator: ast.expr, scope: Scope) -> Value:
        call = decorator if isinstance(decorator, ast.Call) else None
        named = self.evaluate(call.func if call else decorator, scope)
        kwargs = self.arguments(call, scope)[1] if call else {}
        if call and call.args:
            kwargs.setdefault("dag_id", self.evaluate(call.args[0], scope))
        if isinstance(named, Function):
            result = self.run(named, [value], {})
            return result if isinstance(result, Decorated | ExternalCall) else value
        if isinstance(named, External):
            return self._decorated_by(named, value, kwargs, decorator, scope)
        return value

    def _decorated_by(
        self,
        named: External,
        value: Value,
        kwargs: dict[str, Value],
        decorator: ast.expr,
        scope: Scope,
    ) -> Value:
        if named.name.startswith("airflow.sdk.") and "asset" in named.name.split("."):
            return self._asset(value, kwargs, decorator)
        kind = decorator_kind(named)
        if kind in ("setup", "teardown"):
            return self._with_role(value, kind, kwargs)
        if not kind and not is_data(decorator, scope):
            return ExternalCall(named.name, (value,), kwargs, decorator.lineno)
        if not kind or not isinstance(value, Function):
            return value
        return decorated(named, value, kwargs)

    def _asset(self, value: Value, kwargs: dict[str, Value], decorator: ast.expr) -> Value:
        """Record what `@asset` of Airflow 3 makes: a DAG with one task, both of its name."""
        if not isinstance(value, Function):
            return value
        name = kwargs.get("name", value.name)
        dag = self.new_dag([], {**kwargs, "dag_id": name}, decorator, "airflow.sdk.asset")
        with self.within(dag):
            self.new_task("@asset", "PythonOperator", [], {"task_id": name}, value.node, value)
        return Unknown("an asset of Airflow")

    @staticmethod
    def _with_role(value: Value, role: str, kwargs: dict[str, Value]) -> Value:
        if isinstance(value, Decorated):
            value.kind = role
            return value
        return Decorated(role, "", value, kwargs) if isinstance(value, Function) else value

    def _class(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.ClassDef)
        bases = tuple(self.evaluate(base, scope) for base in node.bases)
        inner = Scope({}, scope, scope.file)
        self.block(node.body, inner)
        scope.names[node.name] = Class(node.name, inner.names, bases, _operator_of(bases))

    # Imports

    def _import(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.Import)
        for alias in node.names:
            path = self.origin.resolve(alias.name, scope.file)
            if path is not None and alias.asname:
                scope.names[alias.asname] = self._imported(path)
            else:
                name = alias.asname or alias.name.partition(".")[0]
                scope.names[name] = External(alias.name if alias.asname else name)

    def _import_from(self, node: ast.stmt, scope: Scope) -> None:
        assert isinstance(node, ast.ImportFrom)
        package = node.module or ""
        path = self.origin.resolve(package, scope.file, node.level) if package else None
        module = self._imported(path) if path is not None else None
        for alias in node.names:
            if alias.name == "*":
                self._import_star(module, package, scope)
                continue
            value = self._imported_name(module, package, alias.name, node.level, scope)
            scope.names[alias.asname or alias.name] = value

    def _imported_name(
        self, module: ProjectModule | None, package: str, name: str, level: int, scope: Scope
    ) -> Value:
        if module is not None and name in module.scope.names:
            return module.scope.names[name]
        inner = f"{package}.{name}" if package else name
        path = self.origin.resolve(inner, scope.file, level) if package or level else None
        if path is not None:
            return self._imported(path)
        if module is not None:
            return Unknown(f"`{name}` of {module.path}")
        return External(inner)

    def _import_star(self, module: ProjectModule | None, package: str, scope: Scope) -> None:
        if module is None:
            scope.star = package
            return
        names = module.scope.names.items()
        scope.names.update({name: value for name, value in names if not name.startswith("_")})

    def _imported(self, path: str) -> ProjectModule:
        """Follow a module of the project; the DAGs that it builds itself are its own."""
        if path in self._modules:
            return ProjectModule(path, self._modules[path])
        scope = self._module_scope(path)
        self._modules[path] = scope
        if len(self._importing) >= IMPORTS_DEEP_MAX:
            return ProjectModule(path, scope)
        self._importing.append(path)
        reader = Interpreter(self.origin, path, self._modules)
        reader._importing = self._importing
        with suppress(UnreadableFile, TooMuchWork, RecursionError, _Return, _Leave):
            reader.block(self.origin.module(path).tree.body, scope)
        self._importing.pop()
        return ProjectModule(path, scope)


def _operator_of(bases: Sequence[Value]) -> str:
    for base in bases:
        if isinstance(base, Class) and base.operator:
            return base.operator
        if isinstance(base, External) and (is_operator(base.last) or base.last == "BaseOperator"):
            return base.last
    return ""


def _merged(left: dict[str, Value], right: dict[str, Value], text: str) -> dict[str, Value]:
    """Names after an `if` that only a run decides."""
    results = dict(right)
    for name, value in left.items():
        if name not in right:
            results[name] = value
        elif value is not right[name] and not _same(value, right[name]):
            results[name] = _either(value, right[name], text)
    return results


def _either(left: Value, right: Value, text: str) -> Value:
    built = (Task, Dag, Group, Function, Class, Decorated, ExternalCall)
    for value in (left, right):
        if isinstance(value, built):
            return value
    return Unknown(f"`{text}` decides it at run time")


def _same(left: Value, right: Value) -> bool:
    return is_known(left) and is_known(right) and type(left) is type(right) and left == right
