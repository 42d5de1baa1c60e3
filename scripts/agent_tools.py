"""Write the list of tools for agents from the declarations of the commands.

`python -m scripts.generate` calls this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec

from headrace_agents.declarations import declared_tools


def text(paths: Iterable[str]) -> str:
    """Return the file's content for those of these functions that are tools, one a line."""
    tools = declared_tools(paths)
    lines = [json.dumps(msgspec.to_builtins(tool), ensure_ascii=False) for tool in tools]
    return "[\n" + ",\n".join(lines) + "\n]\n"
