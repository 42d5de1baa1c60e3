// Published rows of one snapshot: filtered, sorted, searched and cut into pages by the server, which also masks them.
import { useState, type SyntheticEvent } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { usePages, useResponse } from "../../api/responses";
import { CopyButton } from "../../parts/CopyButton";
import { MoreButton } from "../../parts/MoreButton";
import { Empty, Panel, Refusal } from "../../parts/Page";
import { RowsTable } from "../../parts/RowsTable";
import { cellText, tabbedText } from "../../parts/values";
import { many } from "../../parts/words";
import { WHOLE } from "../../parts/partitions";
import { ColumnSummary, ProfileTable } from "./ColumnFigures";
import {
  changed,
  fileAddress,
  filterText,
  nextSort,
  OPERATORS,
  parametersOf,
  queryOf,
  whereOf,
  type DataQuery,
  type Operator,
} from "./dataAddress";
import "./data.css";

/** The server's limit. */
const COLUMNS_MAX = 40;
type First = Schema["DataPageResponse"];

export function Data({ name }: { name: string }) {
  const [params, setParams] = useSearchParams();
  const query = queryOf(params);
  const change = (changes: Partial<DataQuery>) =>
    setParams((last) => changed(last, changes), { replace: true, preventScrollReset: true });
  const response = usePages("/api/v1/assets/{name}/rows", (cursor) => ({
    path: { name },
    query: { ...parametersOf(query), ...(cursor ? { cursor } : {}) },
  }));
  const first = response.pages[0];
  const rows = response.pages.flatMap((page) => page.rows as Record<string, unknown>[]);
  return (
    <Panel
      title={query.partition && query.partition !== WHOLE ? `Data of ${query.partition}` : "Data"}
      aside={first && <Summary first={first} query={query} />}
    >
      <div className="body stack">
        <Tools name={name} first={first} rows={rows} query={query} change={change} />
        {response.error && <Refusal problem={response.error} stale={rows.length > 0} />}
      </div>
      {!first && !response.error && (
        <p className="empty" role="status">
          Loading…
        </p>
      )}
      {first && (
        <div className={response.isPlaceholderData ? "updating" : undefined}>
          {rows.length ? (
            <Rows name={name} first={first} rows={rows} query={query} change={change} />
          ) : (
            <Nothing first={first} query={query} />
          )}
          <MoreButton of={response} label="More rows" />
        </div>
      )}
    </Panel>
  );
}

function Summary({ first, query }: { first: First; query: DataQuery }) {
  const [params] = useSearchParams();
  const { rows_matching: matching, rows_total: total } = first;
  return (
    <>
      {total !== null && matching !== null && (
        <>
          {matching === total
            ? many(total, "row")
            : `${matching.toLocaleString("en")} of ${many(total, "row")}`}
        </>
      )}
      {first.snapshot !== null && `; snapshot ${first.snapshot}`}
      {first.masked.length > 0 && `; masked: ${first.masked.map(cellText).join(", ")}`}
      {first.snapshot !== null && first.published_at && (
        <>
          {" "}
          · <Link to={differenceAddress(query)}>Compare</Link>
        </>
      )}
      {query.version !== null && (
        <>
          {" "}
          · <Link to={`?${changed(params, { version: null })}`}>Newest snapshot</Link>
        </>
      )}
      {query.partition && (
        <>
          {" "}
          · <Link to={`?${changed(params, { partition: null })}`}>All partitions</Link>
        </>
      )}
    </>
  );
}

/** These rows beside what was there before them. */
function differenceAddress({ partition, version }: DataQuery): string {
  return `?${new URLSearchParams({
    part: "difference",
    ...(partition ? { partition } : {}),
    ...(version === null ? {} : { right: String(version) }),
  })}`;
}

function Nothing({ first, query }: { first: First; query: DataQuery }) {
  const [params] = useSearchParams();
  if (query.filters.length || query.search)
    return (
      <Empty>
        <strong>No row fits.</strong>{" "}
        <Link to={`?${changed(params, { filters: [], search: "" })}`}>Remove all filters</Link>
      </Empty>
    );
  return (
    <Empty>
      Nothing of it is published{query.partition ? " there" : first.snapshot ? "" : " yet"}.
    </Empty>
  );
}

type Change = (changes: Partial<DataQuery>) => void;
type ToolsProps = {
  name: string;
  first: First | undefined;
  rows: readonly Record<string, unknown>[];
  query: DataQuery;
  change: Change;
};

function Tools({ name, first, rows, query, change }: ToolsProps) {
  return (
    <>
      <div className="row spread">
        <Search key={query.search} search={query.search} change={change} />
        {first && (
          <div className="row">
            <CopyButton
              label="Copy rows"
              text={() =>
                tabbedText(
                  first.columns.map((column) => column.name),
                  rows,
                )
              }
            />
            <CopyButton
              label="Copy link"
              text={() => {
                const params = new URLSearchParams(window.location.search);
                const pinned = changed(params, { version: query.version ?? first.snapshot });
                return `${window.location.origin}${window.location.pathname}?${pinned}`;
              }}
            />
            {(["csv", "parquet"] as const).map((format) => (
              <a
                key={format}
                className="button"
                href={fileAddress(name, format, query, first.snapshot)}
                download
              >
                {format === "csv" ? "CSV" : "Parquet"}
              </a>
            ))}
          </div>
        )}
      </div>
      <div className="row">
        {query.filters.map((filter) => (
          <button
            key={whereOf(filter)}
            type="button"
            className="button chip"
            aria-label={`Remove filter ${filterText(filter)}`}
            onClick={() => change({ filters: query.filters.filter((item) => item !== filter) })}
          >
            {cellText(filterText(filter))} <span aria-hidden="true">✕</span>
          </button>
        ))}
        {first && <AddFilter first={first} query={query} change={change} />}
        {first && <Chooser first={first} query={query} change={change} />}
      </div>
    </>
  );
}

function Search({ search, change }: { search: string; change: Change }) {
  const [text, setText] = useState(search);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    change({ search: text });
  };
  return (
    <form className="data-search" role="search" onSubmit={submit}>
      <input
        type="search"
        className="input"
        aria-label="Text in any column"
        placeholder="Text in any column"
        maxLength={200}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          if (!event.target.value) change({ search: "" });
        }}
      />
      <button type="submit" className="button">
        Search
      </button>
    </form>
  );
}

type PartProps = { first: First; query: DataQuery; change: Change };

function AddFilter({ first, query, change }: PartProps) {
  const columns = [...first.columns, ...first.others];
  const [column, setColumn] = useState("");
  const [operator, setOperator] = useState<Operator>("eq");
  const [value, setValue] = useState("");
  const chosen = columns.find(({ name }) => name === column) ?? columns[0];
  const unary = operator === "null" || operator === "not_null";
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!chosen) return;
    const filter = { column: chosen.name, operator, value: unary ? "" : value };
    const others = query.filters.filter((item) => whereOf(item) !== whereOf(filter));
    change({ filters: [...others, filter] });
    setValue("");
  };
  if (!chosen) return null;
  return (
    <details className="popover">
      <summary className="button">Add filter</summary>
      <form className="row" aria-label="Add filter" onSubmit={submit}>
        <select
          className="input"
          aria-label="Column"
          value={chosen.name}
          onChange={(event) => setColumn(event.target.value)}
        >
          {columns.map(({ name }) => (
            <option key={name} value={name}>
              {cellText(name)}
            </option>
          ))}
        </select>
        <select
          className="input"
          aria-label="Comparison"
          value={operator}
          onChange={(event) => setOperator(event.target.value as Operator)}
        >
          {OPERATORS.map(([name, sign]) => (
            <option key={name} value={name}>
              {sign}
            </option>
          ))}
        </select>
        {!unary && (
          <input
            className="input"
            aria-label="Value"
            maxLength={400}
            value={value}
            onChange={(event) => setValue(event.target.value)}
          />
        )}
        <button type="submit" className="button">
          Filter
        </button>
      </form>
    </details>
  );
}

/** Which columns are shown: those that are ticked, all if none is. */
function Chooser({ first, query, change }: PartProps) {
  const columns = [...first.columns, ...first.others];
  const visible = new Set(
    query.columns.length ? query.columns : first.columns.map(({ name }) => name),
  );
  const full = visible.size >= COLUMNS_MAX;
  if (columns.length < 2) return null;
  const toggle = (name: string) => {
    const chosen = columns
      .map((column) => column.name)
      .filter((other) => (other === name ? !visible.has(name) : visible.has(other)));
    change({ columns: chosen.length === columns.length ? [] : chosen });
  };
  return (
    <details className="popover">
      <summary className="button">
        Columns {first.others.length > 0 && `${first.columns.length} of ${columns.length}`}
      </summary>
      <fieldset className="columns">
        <legend className="visually-hidden">Columns</legend>
        {columns.map(({ name }) => (
          <label key={name}>
            <input
              type="checkbox"
              checked={visible.has(name)}
              disabled={visible.has(name) ? visible.size === 1 : full}
              onChange={() => toggle(name)}
            />{" "}
            <span className="mono">{cellText(name)}</span>
          </label>
        ))}
        {full && <p className="muted small">A page shows at most {COLUMNS_MAX} columns.</p>}
        {query.columns.length > 0 && (
          <button type="button" className="button plain" onClick={() => change({ columns: [] })}>
            All columns
          </button>
        )}
      </fieldset>
    </details>
  );
}

function Rows({ name, first, rows, query, change }: Required<ToolsProps> & { first: First }) {
  const asked = parametersOf({ ...query, sort: null, version: first.snapshot });
  const profile = useResponse(
    "/api/v1/assets/{name}/profile",
    {
      path: { name },
      query: asked,
    },
    first.snapshot !== null,
  );
  const figures = profile.isPlaceholderData ? undefined : profile.data;
  const below = (column: string) => {
    const item = figures?.columns.find((row) => row.column === column);
    return item && figures ? (
      <ColumnSummary figures={item} rows={figures.rows} />
    ) : (
      <span className="column-figures" />
    );
  };
  return (
    <>
      <RowsTable
        label="Data"
        columns={first.columns}
        rows={rows}
        sort={query.sort}
        sortBy={(column) => change({ sort: nextSort(query.sort, column) })}
        below={below}
      />
      {profile.error && (
        <div className="body">
          <Refusal problem={profile.error} />
        </div>
      )}
      {figures && <ProfileTable profile={figures} />}
    </>
  );
}
