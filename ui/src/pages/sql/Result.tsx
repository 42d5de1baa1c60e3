// The rows of a query: as a table, as a chart, or saved as CSV.
import type { Schema } from "../../api/client";
import { CopyButton } from "../../parts/CopyButton";
import { formatDuration } from "../../parts/durations";
import { useFilters } from "../../parts/filters";
import { Empty, Panel } from "../../parts/Page";
import { RowsTable } from "../../parts/RowsTable";
import { save } from "../../parts/save";
import { Select } from "../../parts/Select";
import { Series, type Point } from "../../parts/Series";
import { cellText, isNumber, tabbedText, textOfValue } from "../../parts/values";
import { many } from "../../parts/words";
import { csvOf } from "./csv";

export type Response = Schema["SqlResponse"];
type Values = Record<string, unknown>;
const POINTS_MAX = 2_000;

export function Result({ response }: { response: Response }) {
  const { values, set } = useFilters(["view"]);
  const chart = values.view === "chart";
  const rows = response.rows as Values[];
  const names = response.columns.map(({ name }) => name);
  return (
    <Panel title="Result" aside={summaryOf(response)}>
      <div className="body row spread">
        <div className="row" role="group" aria-label="View">
          <button
            type="button"
            className="button"
            aria-pressed={!chart}
            onClick={() => set("view", "")}
          >
            Table
          </button>
          <button
            type="button"
            className="button"
            aria-pressed={chart}
            onClick={() => set("view", "chart")}
          >
            Chart
          </button>
        </div>
        <div className="row">
          <CopyButton label="Copy rows" text={() => tabbedText(names, rows)} />
          <button
            type="button"
            className="button"
            onClick={() => save(new Blob([csvOf(names, rows)], { type: "text/csv" }), "result.csv")}
          >
            CSV
          </button>
        </div>
      </div>
      {!rows.length ? (
        <Empty>The query returned no row.</Empty>
      ) : chart ? (
        <ResultChart response={response} rows={rows} />
      ) : (
        <RowsTable label="Rows of the result" columns={response.columns} rows={rows} />
      )}
    </Panel>
  );
}

function summaryOf(response: Response): string {
  return [
    `${response.truncated ? "the first " : ""}${many(response.rows.length, "row")}`,
    response.seconds === null ? "" : `in ${formatDuration(response.seconds)}`,
    response.snapshot === null ? "" : `snapshot ${response.snapshot}`,
    response.masked.length ? `masked: ${response.masked.map(cellText).join(", ")}` : "",
  ]
    .filter(Boolean)
    .join("; ");
}

/** One figure of the rows in their order; which one, and what names the points, can be chosen. */
function ResultChart({ response, rows }: { response: Response; rows: readonly Values[] }) {
  const { values, set } = useFilters(["up", "across"]);
  const numbers = response.columns.filter(({ type }) => isNumber(type)).map(({ name }) => name);
  const names = response.columns.map(({ name }) => name);
  const up = chosenOf(values.up, numbers, numbers.at(-1));
  const others = names.filter((name) => name !== up);
  const across = chosenOf(values.across, names, others[0] ?? up);
  if (up === undefined || across === undefined)
    return <Empty>A chart needs a column of numbers.</Empty>;
  return (
    <div className="body stack">
      <div className="row">
        <Select
          name="Across"
          choices={choicesOf(names)}
          value={across}
          choose={(x) => set("across", x)}
          inline
        />
        <Select
          name="Up"
          choices={choicesOf(numbers)}
          value={up}
          choose={(x) => set("up", x)}
          inline
        />
        {rows.length > POINTS_MAX && (
          <span className="muted small">The first {POINTS_MAX.toLocaleString("en")} rows.</span>
        )}
      </div>
      <Series
        label={`${cellText(up)} by ${cellText(across)}`}
        quantity={cellText(up)}
        across={cellText(across)}
        points={pointsOf(rows.slice(0, POINTS_MAX), across, up)}
        format={(value) => value.toLocaleString("en", { maximumSignificantDigits: 6 })}
      />
    </div>
  );
}

const choicesOf = (names: readonly string[]) =>
  names.map((name) => [name, cellText(name)] as const);

function chosenOf(
  asked: string | undefined,
  values: readonly string[],
  otherwise: string | undefined,
): string | undefined {
  return asked !== undefined && values.includes(asked) ? asked : otherwise;
}

/** A point for each row; the same name again has its row's number. */
export function pointsOf(rows: readonly Values[], across: string, up: string): Point[] {
  const names = new Set<string>();
  return rows.map((row, index) => {
    const text = textOfValue(row[across]) || "null";
    const name = names.has(text) ? `${text} (row ${index + 1})` : text;
    names.add(name);
    const value = row[up];
    const number = value === null || value === undefined ? Number.NaN : Number(value);
    return { name, value: Number.isFinite(number) ? number : null, marked: false };
  });
}
