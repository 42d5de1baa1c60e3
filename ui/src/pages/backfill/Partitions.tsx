// Partition list of a backfill's partitions: as each stands before it is begun, and what came of it after.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { usePages, type Pages } from "../../api/responses";
import { Panel, Refusal } from "../../parts/Page";
import { MoreButton } from "../../parts/MoreButton";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { nodePartition, partitionName } from "../../parts/partitions";

type Row = Schema["PlannedPartitionRow"];
type PreviewRequest = {
  select: string[];
  exclude?: string[];
  from?: string;
  to?: string;
  since?: string;
  mode: string;
  only: boolean;
  allow_partial: boolean;
};
const PAGE_ROWS = 5000;

export function PreviewedPartitions({
  request,
  total,
}: {
  request: PreviewRequest;
  total: number;
}) {
  return (
    <List
      title="Partition list"
      subtitle="current states"
      total={total}
      response={usePages(
        "/api/v1/backfills/preview/partitions",
        (cursor) => ({ query: { ...request, limit: PAGE_ROWS, ...(cursor ? { cursor } : {}) } }),
        true,
      )}
    />
  );
}

export function PlannedPartitions({ plan, total }: { plan: string; total: number }) {
  return (
    <List
      title="Partition list"
      subtitle="what came of each"
      total={total}
      response={usePages("/api/v1/backfills/{plan}/partitions", (cursor) => ({
        path: { plan },
        query: { limit: PAGE_ROWS, ...(cursor ? { cursor } : {}) },
      }))}
    />
  );
}

const COLUMNS: readonly Column<Row>[] = [
  { name: "Asset", cell: (row) => <strong>{row.asset}</strong> },
  {
    name: "Partition",
    cell: (row) => <span className="mono key">{partitionName(row.partition)}</span>,
  },
  { name: "State", cell: (row) => <State of={row.state} /> },
  {
    name: "Log",
    cell: (row) =>
      row.attempt && (
        <Link
          to={`?${new URLSearchParams({ attempt: row.attempt })}`}
          preventScrollReset
          aria-label={`Log of ${nodePartition(row.asset, row.partition)}`}
        >
          Log
        </Link>
      ),
  },
];

type PartitionPages = Pages<{ partitions: Row[] }>;

function List({
  title,
  subtitle,
  total,
  response,
}: {
  title: string;
  subtitle: string;
  total: number;
  response: PartitionPages;
}) {
  const rows = response.pages.flatMap((page) => page.partitions);
  if (!response.pages.length)
    return response.error ? (
      <Refusal problem={response.error} />
    ) : (
      <p className="empty" role="status">
        Loading…
      </p>
    );
  const columns = rows.some((row) => row.attempt) ? COLUMNS : COLUMNS.slice(0, -1);
  return (
    <Panel
      title={title}
      aside={`${rows.length < total ? `${rows.length.toLocaleString("en")} of ${total.toLocaleString("en")}, ` : ""}${subtitle}`}
    >
      <Table
        label={title}
        columns={columns}
        rows={rows}
        keyOf={(row) => `${row.asset}@${row.partition}`}
      />
      <MoreButton of={response} label="More" />
    </Panel>
  );
}
