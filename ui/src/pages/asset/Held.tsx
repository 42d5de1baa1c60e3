// A partition that waits in quarantine: why, some of its rows, and what can be decided about it.
import type { Schema } from "../../api/client";
import { useDocument } from "../../api/documents";
import { Loaded } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Acts } from "./acts";

type Row = Schema["QuarantineRow"];

export function Held({ node, partition }: { node: string; partition: string }) {
  const place = partition === "*" ? node : `${node}@${partition}`;
  return (
    <Loaded document={useDocument("/api/v1/quarantine", { query: { target: place } })}>
      {(rows) => <>{rows.map((row) => <Waits key={`${row.attempt} ${row.partition}`} row={row} />)}</>}
    </Loaded>
  );
}

function Waits({ row }: { row: Row }) {
  return (
    <div className="notice tone-warn">
      <div className="stack" style={{ flex: 1 }}>
        <p><strong>In quarantine:</strong> {row.reason}{row.delivery && <>, from <code>{row.delivery}</code></>}</p>
        {row.checks.map((check) => <p key={check.name} className="small"><code>{check.name}</code>: {check.detail}</p>)}
        {row.repair?.first && <p><strong>First, a person’s:</strong> {row.repair.first}</p>}
        {row.sample.length > 0 && <Sample rows={row.sample} />}
        {row.decide.length > 0 && <div className="row"><Acts names={["accept", "drop"]} node={row.node} partition={row.partition} /></div>}
      </div>
    </div>
  );
}

function Sample({ rows }: { rows: Row["sample"] }) {
  const columns: readonly Column<Record<string, unknown>>[] = Object.keys(rows[0] ?? {}).map((name) => ({ name, cell: (row) => <code>{text(row[name])}</code> }));
  return (
    <details>
      <summary>Some of its rows ({rows.length})</summary>
      <Table label="Some of its rows" columns={columns} rows={rows.map((row) => row as Record<string, unknown>)} keyOf={(row) => JSON.stringify(row)} />
    </details>
  );
}

function text(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
