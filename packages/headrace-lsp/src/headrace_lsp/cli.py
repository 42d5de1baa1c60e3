"""`headrace lsp`: the language server on standard input and output."""

from __future__ import annotations

import os

from headrace.extension import Invocation, UsageError, terminal_command


@terminal_command()
def lsp_command(invocation: Invocation) -> int:
    """Serve an editor over standard input and output (Language Server Protocol).

    The editor starts this command. Each file belongs to the project of the nearest folder with
    headrace.toml. Neither files nor the state are changed, and no code of assets is run: the editor
    saves what it changes.
    """
    if invocation.options.now is not None:
        raise UsageError(
            "headrace lsp takes no --now: it answers at different times", hint="leave it out"
        )
    # a slow import, which no other command needs
    from headrace_lsp.server import serve_stdio

    serve_stdio(invocation.options.env or os.environ.get("HEADRACE_ENV") or "prod")
    return 0
