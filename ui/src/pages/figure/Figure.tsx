// A figure with the rows that it is computed from.
import { Link, useParams, useSearchParams } from "react-router";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { formatDuration } from "../../parts/durations";
import { Time } from "../../parts/Time";
import { capitalised, many } from "../../parts/words";
import { Trend } from "./Trend";

type Row = Record<string, unknown>;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:/;
/** Fields that name a thing with a page of its own. */
const LINKED: Record<string, string> = {
  node: "asset",
  source: "source",
  consumer: "consumer",
  recurrence_of: "incident",
  owner: "owner",
};
const STATES = new Set(["state", "claimed"]);

export function Figure() {
  const { figure = "" } = useParams();
  const [params] = useSearchParams();
  const window = params.get("window");
  usePageTitle(figure);
  return (
    <Loaded
      document={useResponse("/api/v1/figures/{figure}", {
        path: { figure },
        query: window ? { window } : {},
      })}
      heading={`Rows behind ${figure}`}
      name={figure}
    >
      {(document) => (
        <div className="stack">
          <Heading
            title={`Rows behind ${figure}`}
            subtitle={
              <>
                <Time at={document.began} /> to <Time at={document.until} />
              </>
            }
          />
          <ul>
            {document.said.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
          <Trend figure={figure} />
          <Panel title="Rows" aside={many(document.rows.length, "row")}>
            <Rows rows={document.rows} />
          </Panel>
        </div>
      )}
    </Loaded>
  );
}

function Rows({ rows }: { rows: readonly Row[] }) {
  const first = rows[0];
  if (!first) return <Empty>Nothing has been counted in this window yet.</Empty>;
  const columns: Column<Row>[] = Object.keys(first).map((name) => ({
    name: labelOf(name),
    cell: (row) => <Value name={name} value={row[name]} />,
    ...(typeof first[name] === "number" ? { className: "number" } : {}),
  }));
  return <Table label="Rows" columns={columns} rows={rows} keyOf={(_, index) => `${index}`} />;
}

/** What a column is called: seconds are shown as durations, with their own units. */
function labelOf(name: string): string {
  if (name === "seconds") return "Duration";
  const words = name.replace(/_seconds$/, "").replaceAll("_", " ");
  return capitalised(words);
}

function Value({ name, value }: { name: string; value: unknown }) {
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number")
    return name.endsWith("seconds") ? formatDuration(value) : value.toLocaleString("en");
  if (typeof value === "string" && LINKED[name])
    return <Link to={addressOf(LINKED[name], value)}>{value}</Link>;
  if (typeof value === "string")
    return STATES.has(name) ? (
      <State of={value} />
    ) : INSTANT.test(value) ? (
      <Time at={value} />
    ) : (
      value
    );
  return <code>{JSON.stringify(value)}</code>;
}
