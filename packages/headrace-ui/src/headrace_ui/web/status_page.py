"""The status page where the web UI isn't built: a table without any script."""

from __future__ import annotations

from html import escape

from headrace.responses import ConsumerRow, StatusResponse
from headrace.web.plain_pages import html_page

_REFRESH = '<meta http-equiv="refresh" content="30">'
_STATUS_COLUMNS = ("consumer", "needs", "state", "since", "data through", "missing", "why")


def status_page(response: StatusResponse, role: str) -> str:
    """Return an HTML page. Text from files and data is escaped."""
    replay = " (replay stands still)" if response.clock == "replay" else ""
    assets = response.assets
    now = (
        f"{response.now:%a %Y-%m-%d %H:%M} {response.timezone}{' (replay clock)' if replay else ''}"
    )
    states = (
        f"{assets.fresh} fresh · {assets.behind} behind · {assets.stale} stale · {assets.never}"
        f" never; {assets.unchecked} of these unchecked"
    )
    held = "deliveries: {0.deliveries}, partitions: {0.partitions}, rows: {0.rows:,}"
    lines = [
        f"<h1>{escape(response.project)} · {escape(response.env)}</h1>",
        (
            f"<p>{escape(now)} · runtime {escape(response.runtime)}{replay} · this process:"
            f" {escape(role)}</p>"
        ),
        "<table><thead><tr>"
        + "".join(f"<th>{name}</th>" for name in _STATUS_COLUMNS)
        + "</tr></thead><tbody>",
        *(_consumer_row(consumer) for consumer in response.consumers),
        "</tbody></table>",
        f"<p>assets: {states}; quarantine: {held.format(response.quarantine)}</p>",
    ]
    if response.next:
        lines.append(f"<p>next: <code>{escape(response.next)}</code></p>")
    lines.append(
        '<p>the same as <code>headrace status</code>; <a href="/api/v1/status">as JSON</a></p>'
    )
    lines.append("<p>the web UI isn't built: <code>make ui</code> builds it, then serve again</p>")
    return html_page(response.project, "\n".join(lines), _REFRESH)


def _consumer_row(row: ConsumerRow) -> str:
    since = f"{row.since:%a %Y-%m-%d %H:%M}" if row.since else ""
    missing = (
        f"{len(row.backlog)}: {row.backlog[0]} …" if len(row.backlog) > 1 else "".join(row.backlog)
    )
    cells = (row.name, row.needs, row.state, since, row.data_through or "", missing, row.reason)
    kinds = ("", "", f' class="{escape(row.state)}"', "", "", "", "")
    return (
        "<tr>"
        + "".join(f"<td{kind}>{escape(text)}</td>" for kind, text in zip(kinds, cells, strict=True))
        + "</tr>"
    )
