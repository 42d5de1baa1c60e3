// What there is of a node: its partitions as a calendar and as a list, and the chosen one in full.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useDocument, usePages } from "../../api/documents";
import { Command } from "../../parts/Command";
import { Empty, Loaded, Panel, Refusal } from "../../parts/Page";
import { Shape, State, toneOf, wordOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import { HeatMap } from "./HeatMap";

type Partition = Schema["PartitionRow"];
/** Below so many the list is shown at once. */
const LIST_OPEN_MAX = 12;

export function Partitions({ name, counted }: { name: string; counted: readonly Schema["CountedRow"][] }) {
  const [params, setParams] = useSearchParams();
  const found = usePages("/api/v1/assets/{name}/partitions", (cursor) => ({ path: { name }, query: cursor ? { cursor } : {} }));
  if (!found.data) return found.error ? <Refusal problem={found.error as never} /> : <p className="empty" role="status">Loading…</p>;
  const partitions = found.pages.flatMap((page) => page.partitions);
  const chosen = params.get("partition");
  const choose = (partition: string) => setParams((last) => ({ ...Object.fromEntries(last), partition }), { replace: true, preventScrollReset: true });
  const one = partitions.find((row) => row.partition === chosen);
  return (
    <Panel title="Partitions" aside={<Legend counted={counted} />}>
      {partitions.length ? (
        <>
          <HeatMap partitions={partitions} chosen={chosen} choose={choose} />
          {one && <Chosen name={name} one={one} />}
          <details open={partitions.length <= LIST_OPEN_MAX}>
            <summary>As a list ({partitions.length})</summary>
            <Table label="Partitions" columns={columnsOf(choose)} rows={partitions} keyOf={(row) => row.partition} />
          </details>
          {found.hasNextPage && <p className="body"><button type="button" className="button" onClick={() => void found.fetchNextPage()}>Older ones</button></p>}
        </>
      ) : (
        <Empty>Nothing has been made of it yet. The first partition comes when what it reads is there; <code>{`headrace why ${name}`}</code> says what it waits for.</Empty>
      )}
    </Panel>
  );
}

function Legend({ counted }: { counted: readonly Schema["CountedRow"][] }) {
  return <span className="row">{counted.map((one) => <span key={one.value} className={`tone-${toneOf(one.value)} legend`}><Shape of={toneOf(one.value)} state={one.value} />{one.count.toLocaleString("en")} {wordOf(one.value)}</span>)}</span>;
}

function columnsOf(choose: (partition: string) => void): readonly Column<Partition>[] {
  return [
    { name: "Partition", cell: (row) => <button type="button" className="button plain mono" onClick={() => choose(row.partition)}>{row.partition === "*" ? "all of it" : row.partition}</button> },
    { name: "State", cell: (row) => <State of={row.state} /> },
    { name: "Rows", className: "number", cell: (row) => row.rows?.toLocaleString("en") ?? "" },
    { name: "Published", cell: (row) => (row.published_at ? <Time at={row.published_at} /> : "not yet") },
    { name: "Why", className: "why", cell: (row) => row.reason ?? "" },
  ];
}

function Chosen({ name, one }: { name: string; one: Partition }) {
  const seen = one.seen && !one.stale;
  const why = useDocument("/api/v1/why/{subject}", { path: { subject: `${name}@${one.partition}` } }, !seen);
  return (
    <div className="body chosen" role="region" aria-label={`Partition ${one.partition}`}>
      <h3 className="row"><span className="mono">{one.partition === "*" ? "all of it" : one.partition}</span> <State of={one.state} /></h3>
      {one.reason && <p>{one.reason}</p>}
      {!seen && <Loaded document={why}>{(document) => <><p>{document.verdict}</p>{document.next && <Command text={document.next} />}</>}</Loaded>}
      <p className="muted">
        {one.rows !== null && `${many(one.rows, "row")}${one.bytes === null ? "" : `, ${many(Math.ceil(one.bytes / 1000), "kB", "kB")}`}`}
        {one.published_at && <>{one.rows !== null && ", "}published <Time at={one.published_at} /></>}
        {one.failures > 0 && `; failed ${many(one.failures, "time")} in a row`}
      </p>
      {one.seen && <Link to={`?${new URLSearchParams({ part: "preview", partition: one.partition })}`}>See its data</Link>}
    </div>
  );
}
