"""The response of `import`: what became of each task of another tool's project."""

from __future__ import annotations

from headrace.extension import ProblemRow, Response


class ImportCounts(Response, frozen=True, kw_only=True):
    """How many items have each verdict; `on_condition` of the carried ones name a condition."""

    carried: int
    on_condition: int
    command: int
    person: int


class ImportItemRow(Response, frozen=True, kw_only=True, rename={"as_": "as"}):
    """One task of the origin. `verdict` is `carried`, `command` or `person`; `file` is relative to
    the origin, `as` are files of the new project. `on_condition`: it is carried, and `why` or
    `todo` names when its rows are others."""

    id: str
    file: str
    line: int
    verdict: str
    on_condition: bool
    as_: list[str]
    why: str
    todo: str
    original: str


class ImportDependencyRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`to` comes after `from`; both are ids of items. `how` is how the origin says so."""

    from_: str
    to: str
    how: str


class ImportSuggestionRow(Response, frozen=True, kw_only=True):
    """What could be simpler in the new project, with its evidence. `diff` is the unified diff
    against the import, `command` applies it; both are null for a suggestion without a change."""

    id: str
    kind: str
    items: list[str]
    evidence: str
    diff: str | None
    command: str | None


class ImportSuggestionsResponse(Response, frozen=True, kw_only=True):
    """`import suggestion`: the named suggestions. `applied` are the ids of all that were applied
    so far, `files` are those that this command changed, relative to `directory`."""

    directory: str
    suggestions: list[ImportSuggestionRow]
    applied: list[str]
    files: list[str]
    next: str | None


class ImportSecretRow(Response, frozen=True, kw_only=True):
    """A secret in plain text at the origin; its value isn't copied."""

    file: str
    line: int
    name: str


class ImportValidation(Response, frozen=True, kw_only=True):
    """What `validate` says about the new project."""

    ok: bool
    problems: list[ProblemRow]


class ImportChanges(Response, frozen=True, kw_only=True):
    """What changed at the origin since the import: ids of items, and files that were read."""

    new: list[str]
    gone: list[str]
    changed: list[str]
    files: list[str]


class ImportResponse(Response, frozen=True, kw_only=True):
    """`import`: every task of the origin in exactly one item. `executed` counts the templates that
    dbt compiled (`--with-dbt`): nothing else of the origin is run, and without it nothing at all.
    With `--check`, `changes` has what changed since, and nothing is written or validated."""

    tool: str
    origin: str
    directory: str
    counts: ImportCounts
    items: list[ImportItemRow]
    dependencies: list[ImportDependencyRow]
    suggestions: list[ImportSuggestionRow]
    secrets_found: list[ImportSecretRow]
    executed: int
    validate: ImportValidation | None
    changes: ImportChanges | None = None
    files: list[str] = []
    """Files that were written, relative to `directory`."""
    next: str
