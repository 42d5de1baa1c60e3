// Who did what, when and why; and whether anybody changed the record of it.
import { useState } from "react";
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import "../../parts/filters.css";
import "./audit.css";

type Entry = Schema["AuditRow"];
const ASKED = { action: "What was done", object: "To what", actor: "By whom" } as const;
const SPANS = { "": "ever", "1d": "in a day", "7d": "in 7 days", "30d": "in 30 days" };
const STEP = 100;
const SHOWN_MAX = 1_000;

const COLUMNS: readonly Column<Entry>[] = [
  { name: "No.", className: "number", cell: (one) => one.seq },
  { name: "At", cell: (one) => <Time at={one.at} /> },
  { name: "Who", cell: (one) => <div>{one.actor}<div className="muted small">{one.actor_type}</div></div> },
  { name: "Did", cell: (one) => <div className="mono action">{one.action}{one.outcome !== "allowed" && <div className="muted small">{one.outcome}</div>}</div> },
  { name: "To", className: "why", cell: (one) => <span className="mono">{one.object}</span> },
  { name: "Why", className: "why", cell: (one) => <>{one.reason}<Values entry={one} /></> },
];

export function Audit() {
  usePageTitle("Audit");
  const [params, setParams] = useSearchParams();
  const [limit, setLimit] = useState(STEP);
  const query = Object.fromEntries(["action", "object", "actor", "since"].flatMap((name) => (params.get(name) ? [[name, params.get(name)!]] : [])));
  const ask = (name: string, value: string) => setParams((last) => {
    const { [name]: _, ...rest } = Object.fromEntries(last);
    return value ? { ...rest, [name]: value } : rest;
  }, { replace: true, preventScrollReset: true });
  return (
    <div className="stack">
      <Heading title="Audit" said="Who did what, when and why: each entry holds the hash of the one before it." />
      <Verified />
      <search className="filters">
        {Object.entries(ASKED).map(([name, said]) => <label key={name}>{said}<input className="input" type="search" key={query[name] ?? ""} defaultValue={query[name] ?? ""} onBlur={(event) => ask(name, event.target.value)} onKeyDown={(event) => event.key === "Enter" && ask(name, event.currentTarget.value)} placeholder="all, or a pattern with *" /></label>)}
        <label>Since<select className="input" value={query.since ?? ""} onChange={(event) => ask("since", event.target.value)}>{Object.entries(SPANS).map(([span, said]) => <option key={span} value={span}>{said}</option>)}</select></label>
      </search>
      <Loaded document={useResponse("/api/v1/audit", { query: { ...query, limit } })}>
        {(rows) => (
          <Panel title="Entries" aside={<span role="status">{rows.length < limit ? many(rows.length, "entry", "entries") : `the newest ${limit}`}</span>}>
            {rows.length ? <Table label="Entries" columns={COLUMNS} rows={rows} keyOf={(one) => String(one.seq)} keys /> : Object.keys(query).length ? <Empty>No entry is like that. <code>*</code> stands for any text: <code>node.*</code>.</Empty> : <Empty><strong>Nothing was done yet.</strong> What people and programs decide stands here: applied versions, repairs, backfills, exceptions, pauses.</Empty>}
            {rows.length === limit && limit < SHOWN_MAX && <p className="body"><button type="button" className="button" onClick={() => setLimit(Math.min(SHOWN_MAX, limit * 2))}>Older ones</button></p>}
            {rows.length === SHOWN_MAX && <p className="body muted">Older ones are in <code>headrace audit show --limit N</code>.</p>}
          </Panel>
        )}
      </Loaded>
    </div>
  );
}

function Verified() {
  const [asked, ask] = useState(false);
  const found = useResponse("/api/v1/audit/verify", {}, asked);
  if (!asked) return <p><button type="button" className="button" onClick={() => ask(true)}>Has anybody changed the record?</button></p>;
  return (
    <Loaded document={found}>
      {(document) => (
        <div className={`notice ${document.ok ? "tone-good" : "tone-bad"}`} role="status"><div>
          {document.ok ? <p><strong>No.</strong> All {many(document.entries, "entry", "entries")} fit together.</p> : <p><strong>Yes, or it is damaged{document.broken_at !== null && ` at entry ${document.broken_at}`}:</strong> {document.reason}</p>}
          <p className="muted small">Note the last hash elsewhere, and a cut end will be seen too: <code style={{ overflowWrap: "anywhere" }}>{document.head}</code></p>
        </div></div>
      )}
    </Loaded>
  );
}

function Values({ entry: { before, after } }: { entry: Entry }) {
  if (before == null && after == null) return null;
  return (
    <details>
      <summary className="small">before and after</summary>
      <pre className="values" tabIndex={0} aria-label="Before and after">{JSON.stringify({ before, after }, null, 1)}</pre>
    </details>
  );
}
