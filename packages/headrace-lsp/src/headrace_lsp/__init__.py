"""The language server: `headrace lsp` checks, completes and renames while files are edited."""

from __future__ import annotations

from headrace.extension import CliCommand

LSP = CliCommand(
    name="lsp",
    group="change",
    summary="serve an editor: problems, completion, lineage and renames while typing",
    home="headrace_lsp.cli",
)
