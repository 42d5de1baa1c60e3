// A partition that waits in quarantine: why, and some of its rows.
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Table, type Column } from "../../parts/Table";
import { targetOf } from "../../parts/partitions";

type Row = Schema["QuarantineRow"];
const TITLES: Record<string, string> = { dropped: "Dropped", accepted: "An exception" };

/** What waits of a partition. */
export function useHeld(node: string, partition: string, enabled: boolean): readonly Row[] {
  const response = useResponse(
    "/api/v1/quarantine",
    { query: { target: targetOf(node, partition) } },
    enabled,
  );
  return enabled && response.data && !response.isPlaceholderData ? response.data : [];
}

export function Held({ row }: { row: Row }) {
  return (
    <div className="notice tone-warn">
      <div className="stack" style={{ flex: 1 }}>
        <p>
          <strong>{TITLES[row.state] ?? "In quarantine"}:</strong> {row.reason}
          {row.delivery && (
            <>
              , from <code>{row.delivery}</code>
            </>
          )}
        </p>
        {row.checks.map((check) => (
          <p key={check.name} className="small">
            <code>{check.name}</code>: {check.detail}
          </p>
        ))}
        {row.repair?.first && (
          <p>
            <strong>First, a person’s:</strong> {row.repair.first}
          </p>
        )}
        {row.sample.length > 0 && <Sample rows={row.sample} />}
      </div>
    </div>
  );
}

function Sample({ rows }: { rows: Row["sample"] }) {
  const columns: readonly Column<Record<string, unknown>>[] = Object.keys(rows[0] ?? {}).map(
    (name) => ({ name, cell: (row) => <code>{text(row[name])}</code> }),
  );
  return (
    <details>
      <summary>Sample rows ({rows.length})</summary>
      <Table
        label="Sample rows"
        columns={columns}
        rows={rows.map((row) => row as Record<string, unknown>)}
        keyOf={(_, index) => `${index}`}
      />
    </details>
  );
}

function text(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
