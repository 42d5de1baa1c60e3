// One consumer: how it stands, how it was served, where the time of a delivery went, and what it depends on.
import { Link, useParams, useSearchParams } from "react-router";
import type { UseQueryResult } from "@tanstack/react-query";
import type { Problem, Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { Ledger, type LedgerData } from "../../parts/Ledger";
import { many, neededBy } from "../../parts/words";
import { Days } from "./Days";
import { Deliveries } from "./Deliveries";

export function Consumer() {
  const { consumer: name = "" } = useParams();
  usePageTitle(name);
  const response = useResponse("/api/v1/consumers/{name}", {
    path: { name },
    query: { limit: 1, ledgers: 0 },
  });
  return (
    <Loaded document={response} heading={name}>
      {(document) => (
        <div className="stack">
          <About document={document} />
          <History key={name} consumer={name} per={document.per} />
          <Reads consumer={document.consumer} upstream={document.upstream} />
        </div>
      )}
    </Loaded>
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

const DAYS = ["30", "90", "365"];

function History({ consumer, per }: { consumer: string; per: string }) {
  const [params] = useSearchParams();
  const days = DAYS.find((each) => each === params.get("days")) ?? "90";
  const history = useResponse("/api/v1/consumers/{name}/history", {
    path: { name: consumer },
    query: { days: Number(days) },
  });
  const interval = params.get("interval");
  const why = useResponse("/api/v1/why/{subject}", {
    path: { subject: interval ? `${consumer}@${interval}` : consumer },
  });
  return (
    <Loaded document={history}>
      {(document) => (
        <>
          <Deliveries
            document={document}
            days={days}
            per={per}
            chosen={interval ?? why.data?.interval ?? null}
          />
          {document.days.length > 0 && <Days document={document} />}
          {document.deliveries.length > 0 && <TimeLedger why={why} />}
        </>
      )}
    </Loaded>
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
