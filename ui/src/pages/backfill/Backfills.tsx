import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { Time } from "../../parts/Time";

type Row = Schema["PlanRowResponse"];
const page = (row: Row) => `/backfills/${encodeURIComponent(row.id)}`;

const COLUMNS: readonly Column<Row>[] = [
  { name: "State", cell: (row) => <State of={row.state} /> },
  {
    name: "Backfill",
    className: "why",
    cell: (row) => (
      <div>
        <Link to={page(row)}>
          <strong>
            {row.id}: {nameOf(row.assets)}
          </strong>
        </Link>
        <div className="muted small">{row.reason}</div>
      </div>
    ),
  },
  { name: "Published", cell: (row) => <Progress row={row} /> },
  { name: "By", cell: (row) => row.by },
  { name: "Planned", cell: (row) => <Time at={row.created_at} /> },
  {
    name: "Ends",
    cell: (row) =>
      row.finished_at ? (
        <Time at={row.finished_at} />
      ) : row.remaining ? (
        `in ${formatDuration(row.remaining.seconds)}`
      ) : (
        ""
      ),
  },
];

export function Backfills() {
  usePageTitle("Backfills");
  return (
    <div className="stack">
      <Heading
        title="Backfills"
        subtitle="Past partitions, recomputed alongside production and published at once. Until then readers see the old ones."
      >
        <Link className="button main" to="/backfills/new">
          New backfill
        </Link>
      </Heading>
      <Panel title="All backfills">
        <Loaded document={useResponse("/api/v1/backfills", {})}>
          {({ backfills }) =>
            backfills.length ? (
              <Table
                label="Backfills"
                columns={COLUMNS}
                rows={backfills}
                keyOf={(row) => row.id}
                opens={page}
                keys
              />
            ) : (
              <Empty>
                <strong>No backfill yet.</strong> <Link to="/backfills/new">Plan one</Link>, or type{" "}
                <code>headrace backfill ASSET --from DAY --to DAY --reason TEXT</code>. Both show
                the partitions, the duration and who is affected before anything runs. With{" "}
                <code>--dry-run</code>, nothing runs.
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </div>
  );
}

function Progress({ row }: { row: Row }) {
  return (
    <>
      <span className="number">
        {row.published.toLocaleString("en")} of {row.partitions_total.toLocaleString("en")}
      </span>
      {row.failed > 0 && (
        <div className="muted small">{row.failed.toLocaleString("en")} couldn’t be published</div>
      )}
    </>
  );
}

function nameOf(assets: readonly string[]): string {
  return assets.length > 3
    ? `${assets.slice(0, 2).join(", ")} and ${assets.length - 2} more`
    : assets.join(", ");
}
