// What is in a column: nulls, distinct values, bounds, and how its values are spread.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { Table, type Column } from "../../parts/Table";
import { cellText } from "../../parts/values";
import { many } from "../../parts/words";
import { changed, queryOf } from "./dataAddress";

type Profile = Schema["DataProfileResponse"];
type Figures = Schema["ColumnFiguresRow"];

const WIDTH = 108;
const HEIGHT = 26;

/** The figures below a column's name. */
export function ColumnSummary({ figures, rows }: { figures: Figures; rows: number }) {
  const bars = figures.ranges.length
    ? figures.ranges.map((range) => range.rows)
    : figures.frequent.map((value) => value.rows);
  const most = Math.max(...bars, 1);
  const step = WIDTH / Math.max(bars.length, 1);
  return (
    <span className="column-figures">
      {bars.length > 0 ? (
        <svg width={WIDTH} height={HEIGHT} role="img" aria-label={spreadText(figures)}>
          {bars.map((count, index) => {
            const height = count ? Math.max((count / most) * HEIGHT, 1) : 0;
            return (
              <rect
                // eslint-disable-next-line @eslint-react/no-array-index-key -- bars have no other name
                key={index}
                x={index * step}
                y={HEIGHT - height}
                width={Math.max(step - 1, 1)}
                height={height}
              />
            );
          })}
        </svg>
      ) : (
        <span className="no-bars" />
      )}
      <span>{nullsText(figures.nulls, rows)}</span>
      <span>{figures.distinct === null ? "nested" : `${count(figures.distinct)} distinct`}</span>
      <span className="bounds" title={boundsText(figures)}>
        {boundsText(figures)}
      </span>
    </span>
  );
}

const count = (number: number) => number.toLocaleString("en");

export function nullsText(nulls: number, rows: number): string {
  if (!nulls) return "no nulls";
  const share = (nulls / rows) * 100;
  return `${share < 0.1 ? "< 0.1" : share > 99.9 && nulls < rows ? "> 99.9" : share.toFixed(1)} % nulls`;
}

function boundsText({ least, greatest }: Figures): string {
  if (least === null || greatest === null) return "no values";
  return least === greatest ? cellText(least) : `${cellText(least)} – ${cellText(greatest)}`;
}

function spreadText(figures: Figures): string {
  const parts = figures.ranges.length
    ? figures.ranges.map(({ low, high, rows }) => `${low} to ${high}: ${count(rows)}`)
    : figures.frequent.map(({ value, rows }) => `${cellText(value)}: ${count(rows)}`);
  return `${figures.ranges.length ? "Spread" : "Most frequent values"} of ${figures.column}: ${parts.join(", ")}`;
}

/** The same as a table; a frequent value opens its rows. */
export function ProfileTable({ profile }: { profile: Profile }) {
  return (
    <details className="body">
      <summary>Column profiles as a table ({profile.columns.length})</summary>
      <p className="muted small">
        Of {many(profile.rows, "row")}
        {profile.estimated && "; the numbers of distinct values are estimates"}.
      </p>
      <Table
        label="Column profiles"
        columns={columnsOf(profile.rows)}
        rows={profile.columns}
        keyOf={(figures) => figures.column}
      />
    </details>
  );
}

function columnsOf(rows: number): readonly Column<Figures>[] {
  return [
    { name: "Column", cell: (item) => <span className="mono">{cellText(item.column)}</span> },
    {
      name: "Nulls",
      className: "number",
      cell: (item) => (item.nulls ? `${count(item.nulls)} (${nullsText(item.nulls, rows)})` : "0"),
    },
    {
      name: "Distinct",
      className: "number",
      cell: (item) => (item.distinct === null ? "nested" : count(item.distinct)),
    },
    { name: "Least", cell: (item) => cellText(item.least) },
    { name: "Greatest", cell: (item) => cellText(item.greatest) },
    { name: "Values", className: "why", cell: (item) => <Spread figures={item} /> },
  ];
}

function Spread({ figures }: { figures: Figures }) {
  const [params] = useSearchParams();
  if (figures.ranges.length)
    return (
      <ul className="spread">
        {figures.ranges.map(({ low, high, rows }) => (
          <li key={high}>
            {low} to {high}: {count(rows)}
          </li>
        ))}
      </ul>
    );
  const { filters } = queryOf(params);
  return (
    <ul className="spread">
      {figures.frequent.map(({ value, rows }) => (
        <li key={value}>
          <Link
            to={`?${changed(params, {
              filters: [...filters, { column: figures.column, operator: "eq", value }],
            })}`}
          >
            {cellText(value) || "empty text"}
          </Link>
          : {count(rows)}
        </li>
      ))}
    </ul>
  );
}
