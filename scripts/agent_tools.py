"""Write the list of tools for agents from the declarations of the commands.

`python -m scripts.generate` calls this.
"""

from __future__ import annotations

import json

import msgspec

from headrace.web.agents.declarations import declared_tools


def text() -> str:
    """Return the file's content: one tool a line, so that changes are easy to see."""
    lines = [json.dumps(msgspec.to_builtins(tool), ensure_ascii=False) for tool in declared_tools()]
    return "[\n" + ",\n".join(lines) + "\n]\n"
