"""Random expressions and random factories whose files decide which activities run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from adf_factories import activity, expression, pipeline

_WORDS = ("a", "Ab", "x y", "2024", "é", "a-b-c", "")
_DATES = ("2024-01-31T00:00:00Z", "2024-02-29T23:59:59Z", "2025-12-31T12:30:15Z")
_FORMATS = ("yyyy-MM-dd", "yyyyMMdd", "yyyy/MM/dd HH:mm", "MMM d", "HH:mm:ss")


class Expressions:
    """Writes random expressions over the pure functions, of a wanted type."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def any(self, depth: int = 3) -> str:
        """Return an expression of any type."""
        return self._draw.choice((self.text, self.number, self.flag, self.array))(depth)

    def text(self, depth: int) -> str:
        """Return an expression whose value is a text."""
        if depth == 0:
            return "'" + self._draw.choice(_WORDS) + "'"
        inner, number = self.text(depth - 1), self.number(depth - 1)
        when = f"'{self._draw.choice(_DATES)}'"
        shape = f"'{self._draw.choice(_FORMATS)}'"
        return self._draw.choice((
            f"concat({inner}, {self.text(depth - 1)})", f"toUpper({inner})", f"toLower({inner})",
            f"replace({inner}, 'a', 'b')", f"trim({inner})", f"string({number})",
            f"if({self.flag(depth - 1)}, {inner}, 'z')", f"join({self.array(depth - 1)}, ';')",
            f"base64({inner})", f"base64ToString(base64({inner}))", f"coalesce(null, {inner})",
            f"formatDateTime({when}, {shape})", f"addDays({when}, {number}, {shape})",
            f"startOfMonth({when})", f"addHours({when}, {self._draw.randint(-50, 50)})",
            f"uriComponent({inner})", f"string({self.array(depth - 1)})",
        ))  # fmt: skip

    def number(self, depth: int) -> str:
        """Return an expression whose value is a whole number."""
        if depth == 0:
            return str(self._draw.randint(0, 40))
        left, right = self.number(depth - 1), self.number(depth - 1)
        return self._draw.choice((
            f"add({left}, {right})", f"sub({left}, {right})", f"max({left}, {right})",
            f"min({left}, {right})", f"div({left}, {self._draw.randint(1, 9)})",
            f"mod({left}, {self._draw.randint(1, 9)})", f"length({self.text(depth - 1)})",
            f"length({self.array(depth - 1)})", f"indexOf({self.text(depth - 1)}, 'b')",
            f"int('{self._draw.randint(0, 99)}')", f"dayOfYear('{self._draw.choice(_DATES)}')",
        ))  # fmt: skip

    def flag(self, depth: int) -> str:
        """Return an expression whose value is true or false."""
        if depth == 0:
            return self._draw.choice(("true", "false"))
        number, text = self.number(depth - 1), self.text(depth - 1)
        return self._draw.choice((
            f"equals({number}, {self.number(depth - 1)})", f"not({self.flag(depth - 1)})",
            f"greater({number}, {self.number(depth - 1)})", f"startsWith({text}, 'a')",
            f"lessOrEquals({number}, {self.number(depth - 1)})", f"contains({text}, 'b')",
            f"and({self.flag(depth - 1)}, {self.flag(depth - 1)})", f"empty({text})",
            f"or({self.flag(depth - 1)}, {self.flag(depth - 1)})", f"endsWith({text}, 'B')",
        ))  # fmt: skip

    def array(self, depth: int) -> str:
        """Return an expression whose value is a list."""
        if depth == 0:
            return f"createArray({self._draw.randint(1, 5)}, '{self._draw.choice(_WORDS)}')"
        return self._draw.choice((
            f"createArray({self.text(depth - 1)}, {self.number(depth - 1)})",
            f"range({self._draw.randint(0, 9)}, {self._draw.randint(1, 4)})",
            f"split({self.text(depth - 1)}, '-')", f"take({self.array(depth - 1)}, 1)",
            f"skip({self.array(depth - 1)}, 1)",
            f"union({self.array(depth - 1)}, {self.array(depth - 1)})",
            f"intersection({self.array(depth - 1)}, {self.array(depth - 1)})",
        ))  # fmt: skip


class Factory:
    """Writes the files of one random factory, whose pipeline `main` calls the others."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root, self._draw = root, random.Random(seed)
        self._expressions, self._count = Expressions(seed + 1), 0
        self._calls_left = 2

    def write(self) -> None:
        """Write `main` and what it calls."""
        self._pipeline("main", 1)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind} {self._count}"

    def _pipeline(self, name: str, calls: int) -> None:
        listed = self._listed(2, calls, is_top=True, has_item=False)
        limit, mode = self._draw.randint(0, 3), self._draw.choice(("full", "delta", "none"))
        pipeline(
            self._root, name, listed,
            parameters={"limit": {"type": "int", "defaultValue": limit},
                        "mode": {"type": "string", "defaultValue": mode}},
            variables={"set": {"type": "String"}, "kept": {"type": "String", "defaultValue": "k"}},
        )  # fmt: skip

    def _listed(self, depth: int, calls: int, *, is_top: bool, has_item: bool) -> list[Any]:
        listed: list[Any] = []
        if is_top:
            settings = {"variableName": "set", "value": expression("@concat('s', 1)")}
            listed.append(activity(self._name("Set"), "SetVariable", settings=settings))
        for _ in range(self._draw.randint(1, 3)):
            after = [listed[0]["name"]] if is_top else []
            earlier = [one["name"] for one in listed[1:]]
            after += self._draw.sample(earlier, min(len(earlier), self._draw.randint(0, 2)))
            listed.append(self._one(depth, calls, after, has_item=has_item))
        first, *others = listed
        self._draw.shuffle(others)
        return [first, *others]

    def _one(self, depth: int, calls: int, after: list[str], *, has_item: bool) -> Any:
        kinds = ["leaf", "leaf"] + (["if", "switch"] if depth else [])
        kinds += ["foreach"] if depth and not has_item else []
        kinds += ["call"] if calls and self._calls_left else []
        kind = self._draw.choice(kinds)
        if kind == "leaf":
            return self._leaf(after, has_item=has_item)
        if kind == "call":
            return self._call(after, calls)
        return getattr(self, f"_{kind}")(depth, calls, after, has_item=has_item)

    def _leaf(self, after: list[str], *, has_item: bool) -> Any:
        parts = ["pipeline().parameters.mode", "variables('set')", "variables('kept')"]
        parts += ["string(item())"] * 3 if has_item else []
        text = f"@concat('https://x/', {self._draw.choice(parts)}, {self._expressions.text(1)})"
        settings = {"url": expression(text), "method": "POST", "body": "x"}
        return activity(self._name("Leaf"), "WebActivity", after, settings=settings)

    def _inner(self, depth: int, calls: int, *, has_item: bool) -> list[Any]:
        return self._listed(depth - 1, calls, is_top=False, has_item=has_item)

    def _if(self, depth: int, calls: int, after: list[str], *, has_item: bool) -> Any:
        conditions = ["@greater(pipeline().parameters.limit, 1)", f"@{self._expressions.flag(1)}"]
        conditions += ["@equals(item(), 1)"] if has_item else []
        settings = {
            "expression": expression(self._draw.choice(conditions)),
            "ifTrueActivities": self._inner(depth, calls, has_item=has_item),
            "ifFalseActivities": self._inner(depth, calls, has_item=has_item),
        }
        return activity(self._name("If"), "IfCondition", after, settings=settings)

    def _switch(self, depth: int, calls: int, after: list[str], *, has_item: bool) -> Any:
        settings = {
            "on": expression("@pipeline().parameters.mode"),
            "cases": [
                {"value": value, "activities": self._inner(depth, calls, has_item=has_item)}
                for value in ("full", "delta")
            ],
            "defaultActivities": self._inner(depth, calls, has_item=has_item),
        }
        return activity(self._name("Switch"), "Switch", after, settings=settings)

    def _foreach(self, depth: int, calls: int, after: list[str], *, has_item: bool) -> Any:
        del has_item
        lists = ("@createArray('a', 'b')", "@range(1, 3)")
        settings = {
            "items": expression(self._draw.choice(lists)),
            "isSequential": True,
            "activities": self._inner(depth, calls, has_item=True),
        }
        return activity(self._name("Each"), "ForEach", after, settings=settings)

    def _call(self, after: list[str], calls: int) -> Any:
        self._calls_left -= 1
        called = self._name("called")
        self._pipeline(called, calls - 1)
        settings = {
            "pipeline": {"referenceName": called, "type": "PipelineReference"},
            "waitOnCompletion": True,
            "parameters": {"mode": expression("@toLower('FULL')"), "limit": 2},
        }
        return activity(self._name("Call"), "ExecutePipeline", after, settings=settings)
