"""A rename as an edit that the client makes, with its plan where the client can show one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lsprotocol import types

from headrace.extension import Refused
from headrace_lsp.opened import OpenProject
from headrace_lsp.renaming import Edit, Renaming
from headrace_lsp.texts import Text

_PLAN = "plan"


def workspace_edit(
    plan: Renaming, project: OpenProject, client: types.ClientCapabilities
) -> types.WorkspaceEdit:
    """Return the edit. Raise Refused if the client can't move files and the rename has to."""
    able = (client.workspace or types.WorkspaceClientCapabilities()).workspace_edit
    able = able or types.WorkspaceEditClientCapabilities()
    moves_files = types.ResourceOperationKind.Rename in (able.resource_operations or ())
    if plan.moves and not moves_files:
        moved = ", ".join(f"{old} to {new}" for old, new in plan.moves.items())
        raise Refused(f"this editor can't move files; move {moved} and rename by hand")
    edits = {path: _text_edits(project.text(path), plan.edits[path]) for path in plan.edits}
    # Neovim 0.7 moves files, which is only in document changes, and doesn't say that it has these
    if not (able.document_changes or moves_files):
        return types.WorkspaceEdit({project.uri(path): rows for path, rows in edits.items()})
    note = None if able.change_annotation_support is None else _PLAN
    return types.WorkspaceEdit(
        document_changes=_changes(plan, project, edits, note),
        change_annotations=(
            {note: types.ChangeAnnotation("Rename", True, plan.summary)} if note else None
        ),
    )


def _text_edits(text: Text, edits: Sequence[Edit]) -> list[types.TextEdit]:
    return [types.TextEdit(text.range(edit.start, edit.end), edit.new) for edit in edits]


def _changes(
    plan: Renaming,
    project: OpenProject,
    edits: Mapping[str, Sequence[types.TextEdit]],
    note: str | None,
) -> list[types.TextDocumentEdit | types.RenameFile]:
    """Return the edits of each file, and then the moves; with a note that a client shows."""
    changed = [
        types.TextDocumentEdit(
            types.OptionalVersionedTextDocumentIdentifier(project.uri(path), project.version(path)),
            [
                types.AnnotatedTextEdit(note, edit.range, edit.new_text) if note else edit
                for edit in rows
            ],
        )
        for path, rows in edits.items()
    ]
    moved = [
        types.RenameFile(project.uri(old), project.uri(new), annotation_id=note)
        for old, new in plan.moves.items()
    ]
    return [*changed, *moved]
