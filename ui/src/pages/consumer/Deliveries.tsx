// The deliveries of a consumer against their deadlines, as a chart and as a table.
import { useZone } from "../../parts/zone";
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { Choice } from "../../parts/Choice";
import { Empty, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration, longestOf } from "../../parts/durations";
import { Time } from "../../parts/Time";
import { DeliveryChart } from "./DeliveryChart";
import { partsOf, waitsOf, type Delivery } from "./deliveryPlaces";

type Props = {
  document: Schema["ConsumerHistoryResponse"];
  days: string;
  per: string;
  chosen: string | null;
};

export function Deliveries({ document, days, per, chosen }: Props) {
  const [params, setParams] = useSearchParams();
  const { consumer, deliveries, timezone, limited } = document;
  const by = params.get("by") === "owner" ? "owner" : "kind";
  const choose = (interval: string) =>
    setParams((last) => ({ ...Object.fromEntries(last), interval }), {
      replace: true,
      preventScrollReset: true,
    });
  const zone = useZone().zone ?? timezone;
  const aside = limited ? `the newest ${deliveries.length}, ${zone}` : zone;
  return (
    <Panel title="Deliveries and deadlines" aside={aside}>
      <div className="row spread choices">
        <Choice
          label="Days"
          name="days"
          values={["30", "90", "365"]}
          chosen={days}
          textOf={(value) => value}
        />
        <Choice
          label="Waits by"
          name="by"
          values={["kind", "owner"]}
          chosen={by}
          textOf={(value) => value}
        />
      </div>
      {deliveries.length > 0 ? (
        <>
          <DeliveryChart
            consumer={consumer}
            deliveries={deliveries}
            per={per}
            zone={zone}
            by={by}
            chosen={chosen}
            choose={choose}
          />
          <details>
            <summary>As a table ({deliveries.length})</summary>
            <Table
              label="Deliveries"
              columns={columnsOf(deliveries, chosen, choose)}
              rows={deliveries.toReversed()}
              keyOf={(row) => row.interval}
            />
          </details>
        </>
      ) : (
        <Empty>
          No delivery was due or published in these days. The first deadline after{" "}
          <code>headrace apply</code> is the first one here.
        </Empty>
      )}
    </Panel>
  );
}

function columnsOf(
  deliveries: readonly Delivery[],
  chosen: string | null,
  choose: (interval: string) => void,
): readonly Column<Delivery>[] {
  const waited = longestOf(deliveries.map((row) => row.wait_seconds));
  const late = longestOf(deliveries.map((row) => row.late_seconds));
  return [
    {
      name: "Interval",
      cell: (row) => (
        <button
          type="button"
          className="button plain mono"
          aria-pressed={row.interval === chosen}
          onClick={() => choose(row.interval)}
        >
          {row.interval}
        </button>
      ),
    },
    { name: "State", cell: (row) => <State of={row.state} /> },
    { name: "Due", cell: (row) => <Time at={row.due_at} /> },
    { name: "Readable", cell: (row) => (row.met_at ? <Time at={row.met_at} /> : "not yet") },
    { name: "Deviation", className: "number", cell: (row) => distance(row.late_seconds, late) },
    {
      name: "Waited",
      className: "number",
      cell: (row) => (row.wait_seconds === null ? "" : formatDuration(row.wait_seconds, waited)),
    },
    { name: "Owners", className: "why", cell: ownersOf },
  ];
}

function ownersOf(row: Delivery): string {
  const { legend } = waitsOf([row], { width: 0, height: 0 }, "owner");
  return partsOf(row, legend, "owner")
    .filter(({ seconds }) => seconds >= 1)
    .map(({ label, seconds }) => `${label} ${formatDuration(seconds)}`)
    .join(", ");
}

function distance(seconds: number | null, longest: number): string {
  if (seconds === null) return "";
  return `${formatDuration(Math.abs(seconds), longest)} ${seconds <= 0 ? "before" : "after"}`;
}
