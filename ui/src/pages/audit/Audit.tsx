// Who did what, when and why; and whether anybody changed the record of it.
import { useState } from "react";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { useFilters } from "../../parts/filters";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import "../../parts/filters.css";
import "./audit.css";

type Entry = Schema["AuditRow"];
const FILTERS = ["action", "object", "actor", "since"] as const;
/** Filters that take a pattern, with their labels. */
const PATTERNS = [
  ["action", "Action"],
  ["object", "Object"],
  ["actor", "Actor"],
] as const;
const SPANS = { "": "ever", "1d": "in a day", "7d": "in 7 days", "30d": "in 30 days" };
const STEP = 100;
const SHOWN_MAX = 1_000;

const COLUMNS: readonly Column<Entry>[] = [
  { name: "No.", className: "number", cell: (row) => row.seq },
  { name: "At", cell: (row) => <Time at={row.at} /> },
  {
    name: "Actor",
    cell: (row) => (
      <div>
        {row.actor}
        <div className="muted small">{row.actor_type}</div>
      </div>
    ),
  },
  {
    name: "Action",
    cell: (row) => (
      <div className="mono action">
        {row.action}
        {row.outcome !== "allowed" && <div className="muted small">{row.outcome}</div>}
      </div>
    ),
  },
  { name: "Object", className: "why", cell: (row) => <span className="mono">{row.object}</span> },
  {
    name: "Why",
    className: "why",
    cell: (row) => (
      <>
        {row.reason}
        <Values entry={row} />
      </>
    ),
  },
];

export function Audit() {
  usePageTitle("Audit");
  const { values: query, set } = useFilters(FILTERS);
  const [limit, setLimit] = useState(STEP);
  return (
    <div className="stack">
      <Heading
        title="Audit"
        subtitle="Who did what, when and why: each entry holds the hash of the one before it."
      />
      <Verified />
      <search className="filters">
        {PATTERNS.map(([name, label]) => (
          <label key={name}>
            {label}
            <input
              className="input"
              type="search"
              key={query[name] ?? ""}
              defaultValue={query[name] ?? ""}
              onBlur={(event) => set(name, event.target.value)}
              onKeyDown={(event) => event.key === "Enter" && set(name, event.currentTarget.value)}
              placeholder="all, or a pattern with *"
            />
          </label>
        ))}
        <Select
          name="Since"
          value={query.since ?? ""}
          choices={Object.entries(SPANS)}
          choose={(span) => set("since", span)}
        />
      </search>
      <Loaded document={useResponse("/api/v1/audit", { query: { ...query, limit } })}>
        {(rows) => (
          <Panel
            title="Entries"
            aside={
              <span role="status">
                {rows.length < limit
                  ? many(rows.length, "entry", "entries")
                  : `the newest ${limit}`}
              </span>
            }
          >
            {rows.length ? (
              <Table
                label="Entries"
                columns={COLUMNS}
                rows={rows}
                keyOf={(row) => String(row.seq)}
                keys
              />
            ) : Object.keys(query).length ? (
              <Empty>
                No entry is like that. <code>*</code> stands for any text: <code>node.*</code>.
              </Empty>
            ) : (
              <Empty>
                <strong>Nothing was done yet.</strong> What people and programs decide stands here:
                applied versions, repairs, backfills, exceptions, pauses.
              </Empty>
            )}
            {rows.length === limit && limit < SHOWN_MAX && (
              <p className="body">
                <button
                  type="button"
                  className="button"
                  onClick={() => setLimit(Math.min(SHOWN_MAX, limit * 2))}
                >
                  Older ones
                </button>
              </p>
            )}
            {rows.length === SHOWN_MAX && (
              <p className="body muted">
                Older ones are in <code>headrace audit show --limit N</code>.
              </p>
            )}
          </Panel>
        )}
      </Loaded>
    </div>
  );
}

function Verified() {
  const [verifying, setVerifying] = useState(false);
  const response = useResponse("/api/v1/audit/verify", {}, verifying);
  if (!verifying)
    return (
      <p>
        <button type="button" className="button" onClick={() => setVerifying(true)}>
          Verify audit trail
        </button>
      </p>
    );
  return (
    <Loaded document={response}>
      {(document) => (
        <div className={`notice ${document.ok ? "tone-good" : "tone-bad"}`} role="status">
          <div>
            {document.ok ? (
              <p>
                <strong>No.</strong> All {many(document.entries, "entry", "entries")} fit together.
              </p>
            ) : (
              <p>
                <strong>
                  Yes, or it is damaged
                  {document.broken_at !== null && ` at entry ${document.broken_at}`}:
                </strong>{" "}
                {document.reason}
              </p>
            )}
            <p className="muted small">
              Note the last hash elsewhere, and a cut end will be seen too:{" "}
              <code style={{ overflowWrap: "anywhere" }}>{document.head}</code>
            </p>
          </div>
        </div>
      )}
    </Loaded>
  );
}

function Values({ entry: { before, after } }: { entry: Entry }) {
  if ((before ?? after ?? null) === null) return null;
  return (
    <details>
      <summary className="small">before and after</summary>
      <pre className="values" tabIndex={0} role="group" aria-label="Before and after">
        {JSON.stringify({ before, after }, null, 1)}
      </pre>
    </details>
  );
}
