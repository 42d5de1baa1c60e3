// Where columns come from and go to; one column, or all of them.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { addressOf } from "../../parts/addresses";
import { cellText } from "../../parts/values";

type Row = Schema["LineageRow"];

const COLUMNS: readonly Column<Row>[] = [
  { name: "Column", cell: (row) => <ColumnLink of={row.column} /> },
  { name: "Via", cell: (row) => <ColumnLink of={row.via} /> },
  { name: "How", cell: (row) => row.transformation },
];
const AFFECTED_COLUMNS: readonly Column<readonly [string, string]>[] = [
  {
    name: "Name",
    cell: ([kind, name]) => (
      <Link className="mono" to={addressOf(kind, name)}>
        {name}
      </Link>
    ),
  },
  { name: "Kind", cell: ([kind]) => kind },
];
const keyOf = (row: Row) => `${row.column} ${row.via} ${row.transformation}`;

export function Lineage({
  name,
  columns,
}: {
  name: string;
  columns: readonly Schema["NodeColumnRow"][];
}) {
  const [params, setParams] = useSearchParams();
  const column = params.get("column") ?? "";
  const response = useResponse("/api/v1/lineage/{column}", {
    path: { column: column ? `${name}.${column}` : name },
  });
  const choose = (next: string) =>
    setParams(next ? { part: "lineage", column: next } : { part: "lineage" }, {
      replace: true,
      preventScrollReset: true,
    });
  return (
    <>
      <label className="row">
        Column
        <select
          className="input"
          style={{ width: "auto", maxWidth: "100%" }}
          value={column}
          onChange={(event) => choose(event.target.value)}
        >
          <option value="">all of them</option>
          {column && !columns.some(({ name }) => name === column) && (
            <option value={column}>{cellText(column)}</option>
          )}
          {columns.map((column) => (
            <option key={column.name} value={column.name}>
              {column.name}
            </option>
          ))}
        </select>
      </label>
      <Loaded document={response}>
        {(document) => (
          <>
            <Affected
              of={column ? `${name}.${column}` : name}
              nodes={[
                ...(document.affected_consumers ?? []).map((user) => ["consumer", user] as const),
                ...(document.affected_assets ?? []).map((user) => ["asset", user] as const),
              ]}
            />
            <Side
              title="Comes from"
              rows={document.upstream ?? []}
              nothing="Nothing upstream is known: it comes from outside, or from code that can’t be read."
            />
            <Side
              title="Goes into"
              rows={document.downstream ?? []}
              nothing="No known column is computed from it."
            />
          </>
        )}
      </Loaded>
    </>
  );
}

/** Who has other data, or none, once this changes or goes. */
function Affected({ of, nodes }: { of: string; nodes: readonly (readonly [string, string])[] }) {
  return (
    <Panel title="A change affects" aside={nodes.length.toLocaleString("en")}>
      {nodes.length ? (
        <Table
          label="A change affects"
          columns={AFFECTED_COLUMNS}
          rows={nodes}
          keyOf={(row) => row.join(" ")}
        />
      ) : (
        <Empty>No asset and no consumer that is declared uses {of}.</Empty>
      )}
    </Panel>
  );
}

function Side({ title, rows, nothing }: { title: string; rows: readonly Row[]; nothing: string }) {
  return (
    <Panel title={title} aside={rows.length.toLocaleString("en")}>
      {rows.length ? (
        <Table label={title} columns={COLUMNS} rows={rows} keyOf={keyOf} />
      ) : (
        <Empty>{nothing}</Empty>
      )}
    </Panel>
  );
}

/** A node's name has no dot; a column's may. */
function ColumnLink({ of }: { of: string }) {
  const dot = of.indexOf(".");
  if (dot < 0) return <code>{of}</code>;
  return (
    <Link
      className="mono"
      to={`/assets/${encodeURIComponent(of.slice(0, dot))}?${new URLSearchParams({ part: "lineage", column: of.slice(dot + 1) })}`}
    >
      {of}
    </Link>
  );
}
