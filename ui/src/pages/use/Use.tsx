// Who reads what, and what is computed although nobody was seen to read it.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { Since, Time } from "../../parts/Time";
import { many, WINDOWS } from "../../parts/words";
import "../../parts/filters.css";

type Row = Schema["UseRow"];
/** One node with all who read it. */
type Used = {
  node: string;
  readers: readonly Row[];
  reads: number;
  last: string | null;
  seconds: number;
  notes: string;
};
type Order = { label: string; compare: (a: Used, b: Used) => number };
const UNREAD: Order = {
  label: "unread and costly",
  compare: (a, b) => Math.sign(a.reads) - Math.sign(b.reads) || b.seconds - a.seconds,
};
const ORDERS: ReadonlyMap<string, Order> = new Map([
  ["unread", UNREAD],
  ["cost", { label: "most costly", compare: (a, b) => b.seconds - a.seconds }],
  ["reads", { label: "most read", compare: (a, b) => b.reads - a.reads }],
  [
    "last",
    {
      label: "longest not read",
      compare: (a, b) => (a.last ?? "").localeCompare(b.last ?? ""),
    },
  ],
  ["node", { label: "by name", compare: (a, b) => a.node.localeCompare(b.node) }],
]);
const page = (used: Used) => addressOf("asset", used.node);

const COLUMNS: readonly Column<Used>[] = [
  {
    name: "Node",
    cell: (row) => (
      <Link to={page(row)}>
        <strong>{row.node}</strong>
      </Link>
    ),
  },
  { name: "Read", className: "number", cell: (row) => row.reads.toLocaleString("en") },
  {
    name: "By",
    className: "why",
    cell: (row) =>
      row.readers.length ? (
        <Readers rows={row.readers} />
      ) : (
        <span className="muted">nobody seen; {row.notes.split("; ").at(-1)}</span>
      ),
  },
  {
    name: "Last read",
    cell: (row) =>
      row.last && (
        <div>
          <Time at={row.last} />
          <div className="muted small">
            <Since at={row.last} suffix="ago" />
          </div>
        </div>
      ),
  },
  { name: "Duration", className: "number", cell: (row) => formatDuration(row.seconds) },
];

export function Use() {
  usePageTitle("Readers");
  const [params, setParams] = useSearchParams();
  const window = params.get("window") ?? "30d";
  const sort = params.get("sort") ?? "unread";
  const { compare } = ORDERS.get(sort) ?? UNREAD;
  const ask = (name: string, value: string) =>
    setParams((last) => ({ ...Object.fromEntries(last), [name]: value }), {
      replace: true,
      preventScrollReset: true,
    });
  return (
    <div className="stack">
      <Heading
        title="Readers"
        subtitle={
          <>
            Who reads what, and what is computed for nobody. Reads by <code>read</code>,{" "}
            <code>sql</code>, HTTP and exports are seen; reads of the files aren’t.
          </>
        }
      >
        <Select
          name="Of"
          value={window}
          choices={Object.entries(WINDOWS)}
          choose={(value) => ask("window", value)}
          inline
        />
        <Select
          name="Order"
          value={sort}
          choices={[...ORDERS].map(([name, { label }]) => [name, label] as const)}
          choose={(value) => ask("sort", value)}
          inline
        />
      </Heading>
      <Loaded
        document={useResponse("/api/v1/figures/{figure}", {
          path: { figure: "use" },
          query: { window },
        })}
      >
        {(figure) => (
          <Nodes used={byNode(figure.rows as Row[]).toSorted(compare)} notes={figure.said} />
        )}
      </Loaded>
    </div>
  );
}

/** Of one node, in the last 30 days. */
export function UsedBy({ name }: { name: string }) {
  return (
    <Panel
      title="Readers and cost"
      aside={
        <>
          of 30 days; <Link to="/use">all nodes</Link>
        </>
      }
    >
      <Loaded
        document={useResponse("/api/v1/figures/{figure}", {
          path: { figure: "use" },
          query: { select: [name] },
        })}
      >
        {(figure) => {
          const row = byNode(figure.rows as Row[]).find(({ node }) => node === name);
          return row ? (
            <Table label="Readers" columns={COLUMNS} rows={[row]} keyOf={() => name} />
          ) : (
            <Empty>Nobody was seen to read it, and nothing of it ran.</Empty>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function Nodes({ used, notes }: { used: readonly Used[]; notes: readonly string[] }) {
  if (!used.length)
    return (
      <Panel title="Nodes">
        <Empty>
          <strong>Nothing has run yet.</strong> Once it has, this says who reads what, and what each
          node costs.
        </Empty>
      </Panel>
    );
  return (
    <>
      <p>
        {notes.map((line) => (
          <span key={line}>{line}. </span>
        ))}
        Nodes that other nodes are computed from are needed, also if nobody reads them.
      </p>
      <Panel title="Nodes" aside={many(used.length, "node")}>
        <Table
          label="Nodes"
          columns={COLUMNS}
          rows={used}
          keyOf={(row) => row.node}
          opens={page}
          keys
        />
      </Panel>
    </>
  );
}

function Readers({ rows }: { rows: readonly Row[] }) {
  return (
    <ul className="plain">
      {rows.map((row) => (
        <li key={`${row.reader ?? ""} ${row.via ?? ""}`}>
          {row.via === "export" ? (
            <Link to={addressOf("consumer", row.reader ?? "")}>{row.reader}</Link>
          ) : (
            row.reader
          )}{" "}
          <span className="muted small">
            by {row.via}, {row.reads.toLocaleString("en")}
          </span>
        </li>
      ))}
    </ul>
  );
}

function byNode(rows: readonly Row[]): Used[] {
  return [...Map.groupBy(rows, (row) => row.node)].map(([node, ofNode]) => {
    const readers = ofNode.filter((row) => row.reader !== null);
    const last = readers.reduce<string | null>(
      (newest, row) => (newest === null || (row.last_at ?? "") > newest ? row.last_at : newest),
      null,
    );
    return {
      node,
      readers,
      reads: readers.reduce((sum, row) => sum + row.reads, 0),
      last,
      seconds: ofNode[0]?.seconds ?? 0,
      notes: ofNode[0]?.said ?? "",
    };
  });
}
