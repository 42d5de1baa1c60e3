// The first rows as readers see them; what is classified is masked by the server.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { many } from "../../parts/words";

type Read = Schema["ReadResponse"];
type Row = { index: number; values: Record<string, unknown> };
const ROWS = 50;

export function Preview({ name }: { name: string }) {
  const [params] = useSearchParams();
  const partition = params.get("partition");
  const response = useResponse("/api/v1/assets/{name}/preview", {
    path: { name },
    query: { limit: ROWS, ...(partition ? { partition } : {}) },
  });
  return (
    <Loaded document={response}>{(read) => <Data read={read} partition={partition} />}</Loaded>
  );
}

function Data({ read, partition }: { read: Read; partition: string | null }) {
  const rows = (read.rows as Record<string, unknown>[]).map((values, index) => ({ index, values }));
  const columns: Column<Row>[] = read.columns.map(({ name, type }) => ({
    name,
    className: /INT|DOUBLE|DECIMAL|FLOAT/.test(type) ? "number" : "",
    cell: (row) => <Value of={row.values[name]} />,
  }));
  const summary = [
    read.rows_total === null ? "" : `${rows.length} of ${many(read.rows_total, "row")}`,
    read.masked.length ? `masked: ${read.masked.join(", ")}` : "",
  ]
    .filter(Boolean)
    .join("; ");
  return (
    <Panel
      title={partition ? `Data of ${partition}` : "Data"}
      aside={
        <>
          {summary}
          {partition && (
            <>
              {" "}
              · <Link to="?part=preview">All of it</Link>
            </>
          )}
        </>
      }
    >
      {rows.length ? (
        <div className="preview">
          <Table label="Data" columns={columns} rows={rows} keyOf={(row) => `${row.index}`} />
        </div>
      ) : (
        <Empty>Nothing of it is published{partition ? " there" : " yet"}.</Empty>
      )}
    </Panel>
  );
}

function Value({ of }: { of: unknown }) {
  if (of === null || of === undefined) return <span className="muted">null</span>;
  return <>{typeof of === "string" ? of : JSON.stringify(of)}</>;
}
