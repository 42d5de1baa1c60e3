// Who reads what, and what is computed although nobody was seen to read it.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { lasting } from "../../parts/durations";
import { Since, Time } from "../../parts/Time";
import { many } from "../../parts/words";
import "../../parts/filters.css";

type Row = Schema["UseRow"];
/** One node with all who read it. */
type Used = { node: string; readers: readonly Row[]; reads: number; last: string | null; seconds: number; said: string };
const WINDOWS = { "7d": "7 days", "30d": "30 days", "90d": "90 days", "365d": "a year" };
const ORDERS: Record<string, { said: string; before: (a: Used, b: Used) => number }> = {
  unread: { said: "unread and costly", before: (a, b) => Math.sign(a.reads) - Math.sign(b.reads) || b.seconds - a.seconds },
  cost: { said: "most costly", before: (a, b) => b.seconds - a.seconds },
  reads: { said: "most read", before: (a, b) => b.reads - a.reads },
  last: { said: "longest not read", before: (a, b) => (a.last ?? "").localeCompare(b.last ?? "") },
  node: { said: "by name", before: (a, b) => a.node.localeCompare(b.node) },
};
const page = (one: Used) => addressOf("asset", one.node);

const COLUMNS: readonly Column<Used>[] = [
  { name: "Node", cell: (one) => <Link to={page(one)}><strong>{one.node}</strong></Link> },
  { name: "Read", className: "number", cell: (one) => one.reads.toLocaleString("en") },
  { name: "By", className: "why", cell: (one) => (one.readers.length ? <Readers rows={one.readers} /> : <span className="muted">nobody seen; {one.said.split("; ").at(-1)}</span>) },
  { name: "Last read", cell: (one) => one.last && <div><Time at={one.last} /><div className="muted small"><Since said="ago" at={one.last} /></div></div> },
  { name: "It took", className: "number", cell: (one) => lasting(one.seconds) },
];

export function Use() {
  usePageTitle("Use");
  const [params, setParams] = useSearchParams();
  const window = params.get("window") ?? "30d";
  const sort = ORDERS[params.get("sort") ?? ""] ? params.get("sort")! : "unread";
  const ask = (name: string, value: string) => setParams((last) => ({ ...Object.fromEntries(last), [name]: value }), { replace: true, preventScrollReset: true });
  return (
    <div className="stack">
      <Heading title="Use" said={<>Who reads what, and what is computed for nobody: as far as reads are seen (<code>read</code>, <code>sql</code>, data over HTTP, exports). Who reads the files directly isn’t seen.</>}>
        <label>Of <select className="input inline" value={window} onChange={(event) => ask("window", event.target.value)}>{Object.entries(WINDOWS).map(([one, said]) => <option key={one} value={one}>{said}</option>)}</select></label>
        <label>Order <select className="input inline" value={sort} onChange={(event) => ask("sort", event.target.value)}>{Object.entries(ORDERS).map(([one, { said }]) => <option key={one} value={one}>{said}</option>)}</select></label>
      </Heading>
      <Loaded document={useResponse("/api/v1/figures/{figure}", { path: { figure: "use" }, query: { window } })}>
        {(figure) => <Nodes used={byNode(figure.rows as Row[]).toSorted(ORDERS[sort]!.before)} said={figure.said} />}
      </Loaded>
    </div>
  );
}

/** Of one node, in the last 30 days. */
export function UsedBy({ name }: { name: string }) {
  return (
    <Panel title="Who read it, and what it costs" aside={<>of 30 days; <Link to="/use">all nodes</Link></>}>
      <Loaded document={useResponse("/api/v1/figures/{figure}", { path: { figure: "use" }, query: { select: [name] } })}>
        {(figure) => {
          const one = byNode(figure.rows as Row[]).find(({ node }) => node === name);
          return one ? <Table label="Use" columns={COLUMNS} rows={[one]} keyOf={() => name} /> : <Empty>Nobody was seen to read it, and nothing of it ran.</Empty>;
        }}
      </Loaded>
    </Panel>
  );
}

function Nodes({ used, said }: { used: readonly Used[]; said: readonly string[] }) {
  if (!used.length) return <Panel title="Nodes"><Empty><strong>Nothing has run yet.</strong> Once it has, this says who reads what, and what each node costs.</Empty></Panel>;
  return (
    <>
      <p>{said.map((line) => <span key={line}>{line}. </span>)}What others are made of is read through them, and needed all the same.</p>
      <Panel title="Nodes" aside={many(used.length, "node")}><Table label="Nodes" columns={COLUMNS} rows={used} keyOf={(one) => one.node} opens={page} keys /></Panel>
    </>
  );
}

function Readers({ rows }: { rows: readonly Row[] }) {
  return <ul className="plain">{rows.map((row) => <li key={`${row.reader} ${row.via}`}>{row.via === "export" ? <Link to={addressOf("consumer", row.reader ?? "")}>{row.reader}</Link> : row.reader} <span className="muted small">by {row.via}, {row.reads.toLocaleString("en")}</span></li>)}</ul>;
}

function byNode(rows: readonly Row[]): Used[] {
  const found = new Map<string, Row[]>();
  for (const row of rows) found.set(row.node, [...(found.get(row.node) ?? []), row]);
  return [...found].map(([node, of]) => {
    const readers = of.filter((row) => row.reader !== null);
    const last = readers.reduce<string | null>((newest, row) => (newest === null || (row.last_at ?? "") > newest ? row.last_at : newest), null);
    return { node, readers, reads: readers.reduce((sum, row) => sum + row.reads, 0), last, seconds: of[0]!.seconds, said: of[0]!.said };
  });
}
