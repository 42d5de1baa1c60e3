"""Write the methods of `headrace.Session` that call one function of `headrace.services` each.

A method's parameters, types and text are those of the function, so that Python programs, the
command line and the HTTP API can do the same. `python -m scripts.generate` calls this.
"""

from __future__ import annotations

import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from headrace.access.permissions import COMMANDS
from headrace.project.parameters import (
    Argument,
    Parameter,
    command_function,
    flattened,
)

HEAD = '''"""The methods of `headrace.Session` that call one function of `headrace.services` each.

`python -m scripts.generate` writes this file from the functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.project.session import ProjectSession
{imports}


class SessionMethods:
    """What a session can do. The reference of the commands describes each in more detail."""

    def _open(self) -> ProjectSession:
        raise NotImplementedError

    def _call(self, function: str, **given: Any) -> Any:
        """Call `module:function` of `headrace.services` with a newly opened session.

        Raise UsageError for a value of another type, or beyond a limit.
        """
        from headrace.project.parameters import call, checked_request, command_function
        from headrace.project.session import Silent

        called = command_function(function)
        request = checked_request(called, given)
        with closing(self._open()) as session:
            return call(called, session, request, progress=Silent())

'''


def text(paths: Iterable[str]) -> str:
    """The file's content for those of these functions that have a method."""
    methods = {COMMANDS[path].session: path for path in paths if COMMANDS[path].session}
    used: dict[str, set[str]] = {}
    bodies = [
        _method(name, path, command_function(path), used) for name, path in sorted(methods.items())
    ]
    imports = "\n".join(
        f"    from {module} import {', '.join(sorted(names))}"
        for module, names in sorted(used.items())
    )
    return HEAD.format(imports=imports) + "\n".join(bodies)


def _method(name: str, path: str, function: Callable[..., Any], used: dict[str, set[str]]) -> str:
    parameters = list(flattened(function))
    positional = [item for item in parameters if isinstance(item.declaration, Argument)]
    others = [item for item in parameters if not isinstance(item.declaration, Argument)]
    words = ["self"]
    words += [
        f"*{item.name}: str" if _is_many(item) else _declared(item, used) for item in positional
    ]
    if others and not any(_is_many(item) for item in positional):
        words.append("*")
    words += [_declared(item, used) for item in others]
    returned = _type_text(get_type_hints(function)["return"], used)
    given = "".join(f", {item.name}={item.name}" for item in parameters)
    return (
        f"    def {name}({', '.join(words)}) -> {returned}:\n"
        f"{_docstring(inspect.getdoc(function) or '')}"
        f'        result: {returned} = self._call("{path}"{given})\n'
        "        return result\n"
    )


def _docstring(text: str) -> str:
    paragraphs = [textwrap.fill(part, 85) for part in text.split("\n\n")]
    content = textwrap.indent("\n\n".join(paragraphs), "        ").lstrip()
    closing = "\n        " if "\n" in content else ""
    return f'        """{content}{closing}"""\n'


def _is_many(item: Parameter) -> bool:
    return get_origin(item.type) is not None and get_origin(item.type).__name__ == "Sequence"


def _declared(item: Parameter, used: dict[str, set[str]]) -> str:
    required = item.default is inspect.Parameter.empty
    if required and item.name == "reason":  # the command refuses an empty one in its own words
        return "reason: str = ''"
    default = "" if required else f" = {item.default!r}"
    return f"{item.name}: {_type_text(item.type, used)}{default}"


def _type_text(kind: Any, used: dict[str, set[str]]) -> str:
    """A type as source text; the classes in it are noted in `used`, by their module."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type_text(arguments[0], used)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type_text(item, used) for item in arguments)
    if kind is type(None):
        return "None"
    if origin is not None:
        inner = ", ".join(_type_text(item, used) for item in arguments)
        return f"{origin.__name__}[{inner}]"
    if kind is Any:
        return "Any"
    if kind.__module__ == "pathlib":
        used.setdefault("pathlib", set()).add("Path")
    elif kind.__module__ != "builtins":
        used.setdefault(kind.__module__, set()).add(kind.__name__)
    return str(kind.__name__)
