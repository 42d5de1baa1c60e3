import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { neededBy } from "../../parts/words";

type Row = Schema["ConsumerRow"];
const page = (row: Row) => `/consumers/${encodeURIComponent(row.name)}`;

const COLUMNS: readonly Column<Row>[] = [
  {
    name: "State",
    cell: (row) => (
      <div>
        <State of={row.state} />
        {row.since && (
          <div className="small" style={{ whiteSpace: "nowrap" }}>
            since <Time at={row.since} />
          </div>
        )}
      </div>
    ),
  },
  {
    name: "Consumer",
    cell: (row) => (
      <div>
        <Link to={page(row)}>
          <strong>{row.name}</strong>
        </Link>
        <div className="muted small">
          {row.owner} · needs data {neededBy(row.needs)}
        </div>
      </div>
    ),
  },
  { name: "Why", className: "why", cell: (row) => row.reason },
  {
    name: "Data through",
    cell: (row) => (
      <div>
        {row.data_through ?? "nothing yet"}
        {row.backlog.length > 0 && (
          <div className="muted small">{row.backlog.length} older missing</div>
        )}
      </div>
    ),
  },
  { name: "What to do", unnamed: true, cell: (row) => <Act row={row} /> },
];

type Props = {
  rows: readonly Row[];
  keys?: boolean;
  /** How they were served on the last days. */
  days?: Column<Row> | undefined;
};

/** Consumers with their state, why, and what to do. */
export function ConsumerTable({ rows, keys = false, days }: Props) {
  return (
    <Table
      label="Consumers"
      columns={days ? [...COLUMNS.slice(0, -1), days, ...COLUMNS.slice(-1)] : COLUMNS}
      rows={rows}
      keyOf={(row) => row.name}
      opens={page}
      keys={keys}
    />
  );
}

function Act({ row }: { row: Row }) {
  if (row.incident)
    return (
      <Link className="button" to={`/incidents/${encodeURIComponent(row.incident)}`}>
        Open {row.incident}
      </Link>
    );
  return row.state === "served" ? null : (
    <Link className="button" to={page(row)}>
      See why
    </Link>
  );
}
