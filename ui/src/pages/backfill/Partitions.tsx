// The exact list of a backfill's partitions: only the rows in sight are drawn, and later ones are fetched when they come near.
import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { usePages } from "../../api/documents";
import { Refusal } from "../../parts/Page";
import { State } from "../../parts/State";
import { many } from "../../parts/words";

type Asked = { select: string[]; from: string; to: string; mode: string; only: boolean; allow_partial: boolean };
const ROW_PX = 30;
const SHOWN_PX = 360;
/** Rows beyond what is in sight, at both ends. */
const BEYOND = 8;

export function PreviewedPartitions({ asked, total }: { asked: Asked; total: number }) {
  return <List total={total} found={usePages("/api/v1/backfills/preview/partitions", (cursor) => ({ query: { ...asked, ...(cursor ? { cursor } : {}) } }))} />;
}

export function PlannedPartitions({ plan, total }: { plan: string; total: number }) {
  return <List plan={plan} total={total} found={usePages("/api/v1/backfills/{plan}/partitions", (cursor) => ({ path: { plan }, query: cursor ? { cursor } : {} }))} />;
}

type Found = ReturnType<typeof usePages<"/api/v1/backfills/{plan}/partitions" | "/api/v1/backfills/preview/partitions">>;

function List({ found, total, plan }: { found: Found; total: number; plan?: string }) {
  const [top, setTop] = useState(0);
  const box = useRef<HTMLUListElement>(null);
  const rows = found.pages.flatMap((page) => page.partitions);
  const first = Math.max(0, Math.floor(top / ROW_PX) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((top + SHOWN_PX) / ROW_PX) + BEYOND);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = found;
  useEffect(() => {
    if (last >= rows.length && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [last, rows.length, hasNextPage, isFetchingNextPage, fetchNextPage]);
  if (!found.data) return found.error ? <Refusal problem={found.error as never} /> : <p className="empty" role="status">Loading…</p>;
  return (
    <ul ref={box} className="exact" style={{ maxHeight: SHOWN_PX }} tabIndex={0} aria-label={`The exact list: ${many(total, "partition")}`} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
      <li role="presentation" style={{ height: first * ROW_PX }} />
      {rows.slice(first, last).map((row, index) => (
        <li key={`${row.asset}@${row.partition}`} className="row" style={{ height: ROW_PX }} aria-setsize={total} aria-posinset={first + index + 1}>
          <span className="what"><strong>{row.asset}</strong> <span className="mono">{row.partition === "*" ? "all of it" : row.partition}</span></span>
          <State of={row.state} />
          {plan && row.attempt && <Link className="small" to={`?${new URLSearchParams({ attempt: row.attempt })}`} preventScrollReset aria-label={`Log of ${row.asset} ${row.partition}`}>Log</Link>}
        </li>
      ))}
      <li role="presentation" style={{ height: (rows.length - last) * ROW_PX }} />
    </ul>
  );
}
