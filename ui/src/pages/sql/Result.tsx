// The rows of a query: as a table, as a chart, or saved as CSV.
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { CopyButton } from "../../parts/CopyButton";
import { formatDuration } from "../../parts/durations";
import { Empty, Panel } from "../../parts/Page";
import { RowsTable } from "../../parts/RowsTable";
import { Select } from "../../parts/Select";
import { Series, type Point } from "../../parts/Series";
import { cellText, isNumber, tabbedText, textOfValue } from "../../parts/values";
import { many } from "../../parts/words";
import { csvOf, save } from "./csv";

export type Response = Schema["SqlResponse"];
type Values = Record<string, unknown>;
const POINTS_MAX = 2_000;

export function Result({ response }: { response: Response }) {
  const [params, setParams] = useSearchParams();
  const chart = params.get("view") === "chart";
  const rows = response.rows as Values[];
  const names = response.columns.map(({ name }) => name);
  const view = (name: string) =>
    setParams(
      (last) => {
        const next = new URLSearchParams(last);
        if (name) next.set("view", name);
        else next.delete("view");
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  return (
    <Panel title="Result" aside={summaryOf(response)}>
      <div className="body row spread">
        <div className="row" role="group" aria-label="View">
          <button type="button" className="button" aria-pressed={!chart} onClick={() => view("")}>
            Table
          </button>
          <button
            type="button"
            className="button"
            aria-pressed={chart}
            onClick={() => view("chart")}
          >
            Chart
          </button>
        </div>
        <div className="row">
          <CopyButton label="Copy rows" text={() => tabbedText(names, rows)} />
          <button
            type="button"
            className="button"
            onClick={() => save("result.csv", "text/csv", csvOf(names, rows))}
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
  const [params, setParams] = useSearchParams();
  const numbers = response.columns.filter(({ type }) => isNumber(type)).map(({ name }) => name);
  const names = response.columns.map(({ name }) => name);
  const up = chosenOf(params.get("up"), numbers, numbers.at(-1));
  const others = names.filter((name) => name !== up);
  const across = chosenOf(params.get("across"), names, others[0] ?? up);
  if (up === undefined || across === undefined)
    return <Empty>A chart needs a column of numbers.</Empty>;
  const choose = (name: string, value: string) =>
    setParams(
      (last) => {
        const next = new URLSearchParams(last);
        next.set(name, value);
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  return (
    <div className="body stack">
      <div className="row">
        <Select
          name="Across"
          choices={choicesOf(names)}
          value={across}
          choose={(x) => choose("across", x)}
          inline
        />
        <Select
          name="Up"
          choices={choicesOf(numbers)}
          value={up}
          choose={(x) => choose("up", x)}
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
  asked: string | null,
  values: readonly string[],
  otherwise: string | undefined,
): string | undefined {
  return asked !== null && values.includes(asked) ? asked : otherwise;
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
