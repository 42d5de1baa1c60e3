// One consumer: how it stands, each delivery against its deadline, where the time of one went, and what it depends on.
import { Link, useParams, useSearchParams } from "react-router";
import type { UseQueryResult } from "@tanstack/react-query";
import type { Problem, Schema } from "../../api/client";
import { useResponse, usePages } from "../../api/responses";
import { DeviationChart } from "../../parts/DeviationChart";
import { Empty, Heading, Placeholder, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { Time } from "../../parts/Time";
import { Ledger, type LedgerData } from "../../parts/Ledger";
import { many, neededBy } from "../../parts/words";

export function Consumer() {
  const { consumer: name = "" } = useParams();
  usePageTitle(name);
  const response = usePages("/api/v1/consumers/{name}", (cursor) => ({
    path: { name },
    query: cursor ? { cursor } : {},
  }));
  const first = response.pages[0];
  if (!first || response.isPlaceholderData)
    return <Placeholder problem={response.error} heading={name} />;
  const deliveries = response.pages.flatMap((page) => page.deliveries);
  return (
    <div className="stack">
      <About document={first} />
      <Deliveries
        consumer={name}
        deliveries={deliveries}
        {...(response.hasNextPage ? { older: response.fetchNextPage } : {})}
      />
      <Reads consumer={first.consumer} upstream={first.upstream} />
    </div>
  );
}

/** What a consumer that isn't served is said to be, where it doesn't only wait. */
const NOT_SERVED: Partial<Record<string, string>> = {
  at_risk: "At risk",
  wrong: "Wrong",
  late: "Late",
  unknown: "Unknown",
};

function About({ document }: { document: Schema["ConsumerResponse"] }) {
  const row = document.consumer;
  return (
    <>
      <Heading
        title={
          <span className="row">
            {row.name} <State of={row.state} />
          </span>
        }
        subtitle={
          <>
            {document.description && (
              <>
                {document.description}
                <br />
              </>
            )}
            Needs data {neededBy(row.needs)}; owner {row.owner}
          </>
        }
      >
        {row.incident && (
          <Link className="button main" to={`/incidents/${encodeURIComponent(row.incident)}`}>
            Open {row.incident}
          </Link>
        )}
        <Link className="button" to={`/graph?mode=focus&root=${encodeURIComponent(row.name)}`}>
          Graph
        </Link>
      </Heading>
      {row.state !== "served" && (
        <div className={`notice tone-${row.state === "at_risk" ? "warn" : "bad"}`}>
          <p>
            <strong>
              {NOT_SERVED[row.state] ?? "Waits"}
              {row.since && (
                <>
                  {" "}
                  since <Time at={row.since} />
                </>
              )}
              :
            </strong>{" "}
            {row.reason}
          </p>
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
  const why = useResponse("/api/v1/why/{subject}", {
    path: { subject: interval ? `${consumer}@${interval}` : consumer },
  });
  const selected = interval ?? why.data?.interval ?? null;
  const choose = (interval: string) =>
    setParams((last) => ({ ...Object.fromEntries(last), interval }), {
      replace: true,
      preventScrollReset: true,
    });
  const marks = deliveries.map((delivery) => ({
    key: delivery.interval,
    name: delivery.interval,
    state: delivery.state,
    seconds: delivery.late_seconds,
  }));
  const columns: readonly Column<Delivery>[] = [
    {
      name: "Interval",
      cell: (row) => (
        <button
          type="button"
          className="button plain mono"
          aria-pressed={row.interval === selected}
          onClick={() => choose(row.interval)}
        >
          {row.interval}
        </button>
      ),
    },
    { name: "State", cell: (row) => <State of={row.state} /> },
    { name: "Due", cell: (row) => <Time at={row.due_at} /> },
    { name: "Readable", cell: (row) => (row.met_at ? <Time at={row.met_at} /> : "not yet") },
    {
      name: "Deviation",
      className: "number",
      cell: (row) => distance(row.late_seconds),
    },
    {
      name: "Waited",
      className: "number",
      cell: (row) => (row.ledger ? formatDuration(row.ledger.wait_seconds) : ""),
    },
  ];
  return (
    <>
      <Panel title="Deliveries and deadlines" aside="the newest at the right">
        {deliveries.length > 0 ? (
          <>
            <DeviationChart
              label="Deliveries and deadlines"
              line="deadline"
              marks={marks}
              chosen={selected}
              choose={choose}
            />
            <details>
              <summary>As a table ({deliveries.length})</summary>
              <Table
                label="Deliveries"
                columns={columns}
                rows={deliveries}
                keyOf={(row) => row.interval}
              />
            </details>
          </>
        ) : (
          <Empty>No delivery is expected or was made yet.</Empty>
        )}
        {older && (
          <p className="body">
            <button type="button" className="button" onClick={older}>
              Older ones
            </button>
          </p>
        )}
      </Panel>
      {deliveries.length > 0 && <TimeLedger why={why} />}
    </>
  );
}

/** Where the time of the chosen delivery went; where none is chosen, of the one that `headrace why` answers with. */
function TimeLedger({ why }: { why: UseQueryResult<Schema["WhyResponse"], Problem> }) {
  const interval = why.isPlaceholderData ? null : why.data?.interval;
  return (
    <Panel
      title={interval ? `Delay ledger of ${interval}` : "Delay ledger"}
      aside={why.data?.frozen ? "as kept at the time" : undefined}
    >
      <Loaded document={why}>
        {(document) => (
          <>
            <p className="body">{document.verdict}</p>
            {document.segments && <Ledger ledger={document as LedgerData} />}
          </>
        )}
      </Loaded>
    </Panel>
  );
}

function Reads({
  consumer,
  upstream,
}: {
  consumer: Schema["ConsumerRow"];
  upstream: readonly string[];
}) {
  const columns: readonly Column<Schema["ReadRow"]>[] = [
    {
      name: "Asset",
      cell: (row) => <Link to={`/assets/${encodeURIComponent(row.asset)}`}>{row.asset}</Link>,
    },
    { name: "State", cell: (row) => <State of={row.state} /> },
    { name: "Data through", cell: (row) => row.data_through ?? "nothing yet" },
  ];
  return (
    <Panel title="Upstream nodes" aside={`${many(upstream.length, "node")} before it in all`}>
      <Table label="Reads" columns={columns} rows={consumer.reads} keyOf={(row) => row.asset} />
    </Panel>
  );
}

export function distance(seconds: number | null): string {
  if (seconds === null) return "";
  return seconds <= 0 ? `${formatDuration(-seconds)} before` : `${formatDuration(seconds)} after`;
}
