import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Since, Time } from "../../parts/Time";
import { visibleText } from "../../parts/visible";
import { many } from "../../parts/words";
import { TicketLink } from "./TicketLink";

type Row = Schema["IncidentRow"];
const page = (row: Row) => `/incidents/${encodeURIComponent(row.id)}`;

const COLUMNS: readonly Column<Row>[] = [
  { name: "State", cell: (row) => <State of={row.state} /> },
  {
    name: "Cause",
    className: "why",
    cell: (row) => (
      <div>
        <Link to={page(row)}>
          <strong>
            {row.cause.node}: {row.cause.summary}
          </strong>
        </Link>
        <div className="muted small">
          {row.id} · {row.cause.kind.replaceAll("_", " ")} · owner {row.owner}
          {row.assignee && ` · assigned to ${visibleText(row.assignee)}`}
          {row.ticket && (
            <>
              {" "}
              · ticket <TicketLink url={row.ticket} />
            </>
          )}
          {row.muted && (
            <>
              {" "}
              · muted
              {row.muted.until && (
                <>
                  {" "}
                  until <Time at={row.muted.until} />
                </>
              )}
            </>
          )}
        </div>
      </div>
    ),
  },
  { name: "Affects", cell: (row) => <Affected of={row.affected} /> },
  {
    name: "Began",
    cell: (row) => (
      <div>
        <Time at={row.began_at} />
        {row.state !== "resolved" && (
          <div className="muted small">
            <Since at={row.began_at} suffix="ago" />
          </div>
        )}
      </div>
    ),
  },
];

/** Without what there is none of. */
function Affected({ of }: { of: Row["affected"] }) {
  const downstream = [
    [of.assets.length, "asset"],
    [of.partitions.length, "partition"],
  ] as const;
  const counts = downstream.flatMap(([count, what]) => (count ? [many(count, what)] : []));
  return (
    <div>
      {of.consumers.length ? many(of.consumers.length, "consumer") : "no consumer"}
      <div className="muted small">{counts.join(", ")}</div>
    </div>
  );
}

/** Incidents, one for each cause. */
export function IncidentTable({ rows, keys = false }: { rows: readonly Row[]; keys?: boolean }) {
  return (
    <Table
      label="Incidents"
      columns={COLUMNS}
      rows={rows}
      keyOf={(row) => row.id}
      opens={page}
      keys={keys}
    />
  );
}
