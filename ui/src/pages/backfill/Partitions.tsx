// The exact list of a backfill's partitions: as each stands before it is begun, and what came of it after.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { usePages } from "../../api/responses";
import { Panel, Refusal } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";

type Row = Schema["PlannedPartitionRow"];
type Asked = { select: string[]; exclude?: string[]; from?: string; to?: string; since?: string; mode: string; only: boolean; allow_partial: boolean };
const AT_ONCE = 5000;

export function PreviewedPartitions({ asked, total }: { asked: Asked; total: number }) {
  return <List title="The exact list" said="as each stands now" total={total} found={usePages("/api/v1/backfills/preview/partitions", (cursor) => ({ query: { ...asked, limit: AT_ONCE, ...(cursor ? { cursor } : {}) } }), true)} />;
}

export function PlannedPartitions({ plan, total }: { plan: string; total: number }) {
  return <List title="The exact list" said="what came of each" total={total} found={usePages("/api/v1/backfills/{plan}/partitions", (cursor) => ({ path: { plan }, query: { limit: AT_ONCE, ...(cursor ? { cursor } : {}) } }))} />;
}

const COLUMNS: readonly Column<Row>[] = [
  { name: "Asset", cell: (row) => <strong>{row.asset}</strong> },
  { name: "Partition", cell: (row) => <span className="mono key">{row.partition === "*" ? "all of it" : row.partition}</span> },
  { name: "State", cell: (row) => <State of={row.state} /> },
  { name: "Log", cell: (row) => row.attempt && <Link to={`?${new URLSearchParams({ attempt: row.attempt })}`} preventScrollReset aria-label={`Log of ${row.asset} ${row.partition}`}>Log</Link> },
];

type Found = ReturnType<typeof usePages<"/api/v1/backfills/{plan}/partitions" | "/api/v1/backfills/preview/partitions">>;

function List({ title, said, total, found }: { title: string; said: string; total: number; found: Found }) {
  const rows = found.pages.flatMap((page) => page.partitions);
  if (!found.data) return found.error ? <Refusal problem={found.error as never} /> : <p className="empty" role="status">Loading…</p>;
  const columns = rows.some((row) => row.attempt) ? COLUMNS : COLUMNS.slice(0, -1);
  return (
    <Panel title={title} aside={`${rows.length < total ? `${rows.length.toLocaleString("en")} of ${total.toLocaleString("en")}, ` : ""}${said}`}>
      <Table label={title} columns={columns} rows={rows} keyOf={(row) => `${row.asset}@${row.partition}`} />
      {found.hasNextPage && <p className="body"><button type="button" className="button" onClick={() => void found.fetchNextPage()} disabled={found.isFetchingNextPage}>More</button></p>}
    </Panel>
  );
}
