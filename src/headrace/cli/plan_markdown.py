"""A plan as Markdown for a pull request, and as annotations for GitHub Actions.

Names and declarations come from the author of the change, so none of their text is interpreted as
markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from headrace.cli.output import seconds
from headrace.cli.terminal import clean, plural
from headrace.responses import ChangeRow, DifferenceRow, PlanResponse, StaleRow
from headrace.responses.plans import LEFT_OUT_TEXTS, AgreementRow

ROWS_MAX = 100
COLUMNS_MAX = 12
_TICKS = re.compile("`+")


def markdown(plan: PlanResponse) -> str:
    """Return the plan as GitHub-flavoured Markdown."""
    lines = [
        f"### Headrace plan against {code(plan.against)}"
        if plan.against
        else "### Headrace plan, nothing is applied yet",
        "",
        _summary(plan),
        "",
    ]
    if plan.left_out is not None:
        lines += [f"Left out: {LEFT_OUT_TEXTS[plan.left_out]}.", ""]
    lines += table(
        "",
        ("node", "change", "columns", "read by", "stale"),
        [_change(change) for change in plan.changes],
        "more change",
    )
    lines += table(
        "Changed files of code",
        ("file", "change", "used by", "through"),
        [
            (code(file.path), file.change, code(change.node), code(file.via))
            for change in plan.changes
            for file in change.code
        ],
        "more use",
    )
    lines += table(
        "Promises that become less",
        ("node", "what", "before", "after"),
        [
            (code(weaken.node), code(weaken.what), code(weaken.before), code(weaken.after))
            for weaken in plan.weakens
        ],
        "more promise",
    )
    lines += table(
        "Published columns that get another type",
        ("node", "columns"),
        _retyped(plan),
        "more node",
    )
    lines += table(
        "Contracts that other domains read",
        ("contract of", "takes back", "domain", "owner", ""),
        [_agreement(row) for row in plan.agreements],
        "more agreement",
    )
    lines += table(
        "Becomes stale",
        ("node", "partitions", "from", "to", "because"),
        [_stale(row) for row in plan.stale],
        "more row",
    )
    lines += table(
        "Rows, compared with production's",
        ("node", "identical partitions", "differ", "rows", "columns"),
        [_difference(row) for row in plan.diff or ()],
        "more node",
    )
    touched = [
        *(f"consumer {code(name)}" for name in plan.affects.consumers),
        *(f"owner {code(name)}" for name in plan.affects.owners),
    ]
    if touched:
        lines += [f"Touches {', '.join(touched)}.", ""]
    return "\n".join([*lines, *_recomputation(plan)])


def _summary(plan: PlanResponse) -> str:
    if not plan.changes:
        return "Nothing changes." if plan.left_out is None else "Nothing changes of your nodes."
    breaking = sum(change.breaking for change in plan.changes)
    clauses = [
        plural(len(plan.changes), "change"),
        f"{breaking} breaking" if breaking else "none breaking",
    ]
    if plan.weakens:
        clauses.append(plural(len(plan.weakens), "promise weakened", "promises weakened"))
    if plan.stale:
        clauses.append(stale_text(plan.stale))
    if plan.estimate is not None:
        clauses.append(f"{seconds(plan.estimate['seconds'])} to make them again")
    return ", ".join(clauses) + "."


def _recomputation(plan: PlanResponse) -> list[str]:
    """Return the commands that recompute what becomes stale, and how much that is."""
    if not plan.backfills:
        return []
    return [
        "To recompute what becomes stale, once it is applied:",
        "",
        *(f"    {clean(row.command)}" for row in plan.backfills if row.command),
        "",
        *(f"That makes {row.counts.text}.\n" for row in plan.backfills if row.counts is not None),
    ]


def _change(row: ChangeRow) -> Sequence[str]:
    readers = list(dict.fromkeys(name for effect in row.effects for name in effect.read_by))
    columns = [f"{code(effect.column)} {effect.effect}" for effect in row.effects[:COLUMNS_MAX]]
    columns += (
        [f"and {len(row.effects) - COLUMNS_MAX} more"] if len(row.effects) > COLUMNS_MAX else []
    )
    change = f"**{row.change}, breaking**" if row.breaking else row.change
    stale = "" if not row.partitions_stale else f"{row.partitions_stale:,}"
    return (code(row.node), change, ", ".join(columns), ", ".join(map(code, readers)), stale)


def stale_text(rows: Sequence[StaleRow]) -> str:
    """Return how many published partitions become stale, at once and once these are recomputed."""
    reading = [row.partitions for row in rows if row.why.startswith("reads ")]
    later = sum(reading) if len(reading) < len(rows) else 0
    first = sum(row.partitions for row in rows) - later
    return (
        f"{plural(first, 'published partition')} become{'s' if first == 1 else ''} stale"
        f"{f', and {later:,} more once they are recomputed' if later else ''}"
    )


def _stale(row: StaleRow) -> Sequence[str]:
    return (code(row.node), f"{row.partitions:,}", code(row.from_), code(row.to), clean(row.why))


def _difference(row: DifferenceRow) -> Sequence[str]:
    """Return counts only: more people read a pull request than may read the rows."""
    differ = row.compared + row.not_compared
    rows = [f"{row.rows_added:,} added, {row.rows_removed:,} removed"] * bool(row.compared)
    rows += [] if row.rows_changed is None else [f"{row.rows_changed:,} changed"]
    rows += [f"of {row.compared:,} of these partitions"] * bool(row.not_compared)
    columns = [f"{code(change.column)} {change.change}" for change in row.columns]
    columns += [f"{code(name)} in {plural(count, 'row')}" for name, count in row.cells.items()]
    return (
        code(row.node),
        f"{row.identical:,}",
        f"{differ:,}" + (f", {row.only_here:,} only here" if row.only_here else ""),
        ", ".join(rows),
        ", ".join(columns[:COLUMNS_MAX]),
    )


def _retyped(plan: PlanResponse) -> list[Sequence[str]]:
    return [(code(step.node), code(step.detail)) for step in plan.steps if step.kind == "retype"]


def _agreement(row: AgreementRow) -> Sequence[str]:
    return (
        code(row.node),
        clean("; ".join(row.changes)),
        code(row.domain),
        ", ".join(map(code, row.owners)),
        "must agree" if row.needed else "should agree",
    )


def table(
    heading: str, titles: Sequence[str], rows: Sequence[Sequence[str]], more: str
) -> list[str]:
    """Return a table and how many `more` rows it leaves out; nothing without rows."""
    if not rows:
        return []
    lines = [titles, ["---"] * len(titles), *rows[:ROWS_MAX]]
    hidden = len(rows) - ROWS_MAX
    return [
        *([f"**{heading}**", ""] if heading else []),
        *("| " + " | ".join(cells) + " |" for cells in lines),
        "",
        *([f"and {plural(hidden, more)}", ""] if hidden > 0 else []),
    ]


def code(text: str | None) -> str:
    """Return text as inline code for a table cell.

    The fence has more backticks than the text; line breaks and `|` are replaced.
    """
    plain = clean(text or "").replace("|", "¦").replace("\n", " ")
    fence = "`" * (1 + max(map(len, _TICKS.findall(plain)), default=0))
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{plain}{space}{fence}"


# Annotations


def annotated(plan: PlanResponse) -> str:
    """Return annotations for GitHub: breaking changes as errors, weakened promises as warnings.

    Each annotation has the file and the line of the declaration.
    """
    return "".join(f"{line}\n" for line in _annotations(plan))


def _annotations(plan: PlanResponse) -> Iterator[str]:
    for change in plan.changes:
        if change.breaking:
            broken = [effect for effect in change.effects if effect.read_by]
            what = "; ".join(
                f"{effect.column} ({effect.effect}) is read by {', '.join(effect.read_by)}"
                for effect in broken[:10]
            )
            yield annotation(
                "error",
                change.file,
                change.line,
                f"{change.node}: breaking",
                what or "somebody reads it",
            )
    for weaker in plan.weakens:
        yield annotation(
            "warning",
            weaker.file,
            weaker.line,
            f"{weaker.node}: a promise is weakened",
            f"{weaker.what}: {weaker.before} → {weaker.after}",
        )


def annotation(level: str, file: str | None, line: int | None, title: str, text: str) -> str:
    """Return an annotation of GitHub Actions; `level` is `error` or `warning`."""
    places = [f"file={_property(file)}"] if file else []
    places += [f"line={line}"] if file and line else []
    return f"::{level} {','.join([*places, f'title={_property(title)}'])}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
