// One consumer: how it stands, each delivery against its deadline, where the time of one went, and what it depends on.
import { Link, useParams, useSearchParams } from "react-router";
import type { UseQueryResult } from "@tanstack/react-query";
import type { Problem, Schema } from "../../api/client";
import { useResponse, usePages } from "../../api/responses";
import { Against } from "../../parts/Against";
import { Empty, Heading, Instead, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { lasting } from "../../parts/durations";
import { Time } from "../../parts/Time";
import { Ledger, type Ledgered } from "../../parts/Ledger";
import { many, neededBy } from "../../parts/words";

export function Consumer() {
  const { consumer: name = "" } = useParams();
  usePageTitle(name);
  const found = usePages("/api/v1/consumers/{name}", (cursor) => ({ path: { name }, query: cursor ? { cursor } : {} }));
  const first = found.pages[0];
  if (!first) return <Instead problem={found.error as never} heading={name} />;
  const deliveries = found.pages.flatMap((page) => page.deliveries);
  return (
    <div className="stack">
      <About document={first} />
      <Deliveries consumer={name} deliveries={deliveries} {...(found.hasNextPage ? { older: () => void found.fetchNextPage() } : {})} />
      <Reads consumer={first.consumer} upstream={first.upstream} />
    </div>
  );
}

/** What a consumer that isn't served is said to be, where it doesn't only wait. */
const NOT_SERVED: Partial<Record<string, string>> = { at_risk: "At risk", wrong: "Wrong", late: "Late", unknown: "Unknown" };

function About({ document }: { document: Schema["ConsumerResponse"] }) {
  const row = document.consumer;
  return (
    <>
      <Heading title={<span className="row">{row.name} <State of={row.state} /></span>} said={<>{document.description && <>{document.description}<br /></>}Needs data {neededBy(row.needs)}; owner {row.owner}</>}>
        {row.incident && <Link className="button main" to={`/incidents/${encodeURIComponent(row.incident)}`}>Open {row.incident}</Link>}
        <Link className="button" to={`/graph?mode=focus&root=${encodeURIComponent(row.name)}`}>Graph</Link>
      </Heading>
      {row.state !== "served" && (
        <div className={`notice tone-${row.state === "at_risk" ? "warn" : "bad"}`}>
          <p><strong>{NOT_SERVED[row.state] ?? "Waits"}{row.since && <> since <Time at={row.since} /></>}:</strong> {row.reason}</p>
        </div>
      )}
      {row.availability && <p>Honest availability: {row.availability.text}.</p>}
    </>
  );
}

type Delivery = Schema["ServedInterval"];
type Props = { consumer: string; deliveries: readonly Delivery[]; older?: () => void };

function Deliveries({ consumer, deliveries, older }: Props) {
  const [params, setParams] = useSearchParams();
  const interval = params.get("interval");
  const why = useResponse("/api/v1/why/{subject}", { path: { subject: interval ? `${consumer}@${interval}` : consumer } });
  const shown = interval ?? why.data?.interval ?? null;
  const choose = (interval: string) => setParams((last) => ({ ...Object.fromEntries(last), interval }), { replace: true, preventScrollReset: true });
  const marks = deliveries.map((one) => ({ key: one.interval, name: one.interval, state: one.state, seconds: one.late_seconds }));
  const columns: readonly Column<Delivery>[] = [
    { name: "Interval", cell: (one) => <button type="button" className="button plain mono" aria-pressed={one.interval === shown} onClick={() => choose(one.interval)}>{one.interval}</button> },
    { name: "State", cell: (one) => <State of={one.state} /> },
    { name: "Due", cell: (one) => <Time at={one.due_at} /> },
    { name: "Readable", cell: (one) => (one.met_at ? <Time at={one.met_at} /> : "not yet") },
    { name: "Against the deadline", className: "number", cell: (one) => against(one.late_seconds) },
    { name: "Waited", className: "number", cell: (one) => (one.ledger ? lasting(one.ledger.wait_seconds) : "") },
  ];
  return (
    <>
      <Panel title="Deliveries against the deadline" aside="the newest at the right">
        {deliveries.length > 0 ? (
          <>
            <Against label="Deliveries against the deadline" line="deadline" marks={marks} chosen={shown} choose={choose} />
            <details>
              <summary>As a table ({deliveries.length})</summary>
              <Table label="Deliveries" columns={columns} rows={deliveries} keyOf={(one) => one.interval} />
            </details>
          </>
        ) : (
          <Empty>No delivery is expected or was made yet.</Empty>
        )}
        {older && <p className="body"><button type="button" className="button" onClick={older}>Older ones</button></p>}
      </Panel>
      {deliveries.length > 0 && <Where why={why} />}
    </>
  );
}

/** Where the time of the chosen delivery went; where none is chosen, of the one that `headrace why` answers with. */
function Where({ why }: { why: UseQueryResult<Schema["WhyResponse"], Problem> }) {
  const interval = why.isPlaceholderData ? null : why.data?.interval;
  return (
    <Panel title={interval ? `Where the time of ${interval} went` : "Where the time went"} aside={why.data?.frozen ? "as kept at the time" : undefined}>
      <Loaded document={why}>
        {(document) => (
          <>
            <p className="body">{document.verdict}</p>
            {document.segments && <Ledger ledger={document as Ledgered} />}
          </>
        )}
      </Loaded>
    </Panel>
  );
}

function Reads({ consumer, upstream }: { consumer: Schema["ConsumerRow"]; upstream: readonly string[] }) {
  const columns: readonly Column<Schema["ReadRow"]>[] = [
    { name: "Asset", cell: (one) => <Link to={`/assets/${encodeURIComponent(one.asset)}`}>{one.asset}</Link> },
    { name: "State", cell: (one) => <State of={one.state} /> },
    { name: "Data through", cell: (one) => one.data_through ?? "nothing yet" },
  ];
  return (
    <Panel title="What it reads" aside={`${many(upstream.length, "node")} before it in all`}>
      <Table label="Reads" columns={columns} rows={consumer.reads} keyOf={(one) => one.asset} />
    </Panel>
  );
}

export function against(seconds: number | null): string {
  if (seconds === null) return "";
  return seconds <= 0 ? `${lasting(-seconds)} before` : `${lasting(seconds)} after`;
}
