"""The page where the web UI isn't built: the status document as a table, without any script."""

from __future__ import annotations

from html import escape

from headrace.operations.responses import ConsumerRow, StatusResponse

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top;"
    "border-bottom:1px solid #8884}code{font:14px ui-monospace,monospace}.served{color:#197a3b}.late,.wrong,.never{color:#c0281c}"
)
_COLUMNS = ("consumer", "needs", "state", "since", "data through", "missing", "why")
REFRESH_SECONDS = 30


def status_page(response: StatusResponse, role: str) -> str:
    """HTML. All that comes from files or data is escaped."""
    stands = " (replay stands still)" if response.clock == "replay" else ""
    assets = response.assets
    now = f"{response.now:%a %Y-%m-%d %H:%M} {response.timezone}{' (replay clock)' if stands else ''}"
    states = f"{assets.fresh} fresh · {assets.behind} behind · {assets.stale} stale · {assets.never} never · {assets.unchecked} unchecked"
    waiting = f"{response.quarantine.deliveries} deliveries, {response.quarantine.rows:,} rows"
    lines = [
        f"<h1>{escape(response.project)} · {escape(response.env)}</h1>",
        f"<p>{escape(now)} · runtime {escape(response.runtime)}{stands} · this process: {escape(role)}</p>",
        "<table><thead><tr>" + "".join(f"<th>{name}</th>" for name in _COLUMNS) + "</tr></thead><tbody>",
        *(_row(consumer) for consumer in response.consumers),
        "</tbody></table>",
        f"<p>assets: {states}; quarantine: {waiting}</p>",
    ]
    if response.next:
        lines.append(f"<p>next: <code>{escape(response.next)}</code></p>")
    lines.append('<p>the same as <code>headrace status</code>; <a href="/api/v1/status">as JSON</a>, <a href="/metrics">metrics</a></p>')
    lines.append("<p>the web UI isn't built: <code>make ui</code> builds it, then serve again</p>")
    return _whole(response.project, "\n".join(lines))


def missing_page(path: str) -> str:
    """HTML for people who followed a link to nothing."""
    text = f"<h1>There is no page here</h1><p><code>{escape(path[:200])}</code> is not an address of this server.</p>"
    return _whole("No such page", text + '<p><a href="/">Go to Today</a></p>', refresh=False)


def _row(row: ConsumerRow) -> str:
    since = f"{row.since:%a %Y-%m-%d %H:%M}" if row.since else ""
    missing = f"{len(row.backlog)}: {row.backlog[0]} …" if len(row.backlog) > 1 else "".join(row.backlog)
    cells = (row.name, row.needs, row.state, since, row.data_through or "", missing, row.reason)
    kinds = ("", "", f' class="{escape(row.state)}"', "", "", "", "")
    return "<tr>" + "".join(f"<td{kind}>{escape(text)}</td>" for kind, text in zip(kinds, cells, strict=True)) + "</tr>"


def _whole(title: str, body: str, *, refresh: bool = True) -> str:
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Headrace</title>'
        f'<meta name="viewport" content="width=device-width">{again}'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )
