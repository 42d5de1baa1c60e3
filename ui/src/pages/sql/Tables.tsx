// The tables that a query may name, beside it: a click writes the name of a table or a column.
import { useDeferredValue, useState } from "react";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Panel, Placeholder } from "../../parts/Page";
import { cellText } from "../../parts/values";
import { many } from "../../parts/words";
import { written } from "./completion";

type Table = Schema["SqlTableRow"];

export function Tables({ insert }: { insert: (text: string) => void }) {
  const [typed, setTyped] = useState("");
  const words = useDeferredValue(typed.trim());
  const { data, error } = useResponse("/api/v1/sql/tables", {
    query: words ? { q: words } : {},
  });
  return (
    <Panel title="Tables" aside={data?.total.toLocaleString("en")}>
      <div className="body stack tables">
        <input
          className="input"
          aria-label="Filter tables"
          placeholder="a table or a column"
          value={typed}
          maxLength={200}
          onChange={(event) => setTyped(event.target.value)}
        />
        {!data && <Placeholder problem={error} />}
        {data && !data.tables.length && <Empty>No table or column is called so.</Empty>}
        {data && data.tables.length > 0 && (
          <ul aria-label="Tables">
            {data.tables.map((table) => (
              <Entry key={table.name} table={table} words={words} insert={insert} />
            ))}
          </ul>
        )}
        {data && data.total > data.tables.length && (
          <p className="muted small">{many(data.total - data.tables.length, "more table")}</p>
        )}
      </div>
    </Panel>
  );
}

type Props = { table: Table; words: string; insert: (text: string) => void };

function Entry({ table: { name, kind, columns }, words, insert }: Props) {
  // A table that is found by a column shows it.
  const byColumn = words !== "" && !name.toLowerCase().includes(words.toLowerCase());
  const table = kind === "state" ? name : written(name);
  return (
    <li>
      <div className="row spread">
        <button type="button" className="button plain mono" onClick={() => insert(table)}>
          {cellText(name)}
        </button>
        <span className="muted small">{kind}</span>
      </div>
      {columns.length > 0 && (
        <details key={String(byColumn)} open={byColumn}>
          <summary className="muted small">
            {many(columns.length, "column")}
            <span className="visually-hidden"> of {cellText(name)}</span>
          </summary>
          <ul>
            {columns.map((column) => (
              <li key={column.name} className="row spread">
                <button
                  type="button"
                  className="button plain mono"
                  onClick={() => insert(written(column.name))}
                >
                  {cellText(column.name)}
                </button>
                <span className="muted small">{column.type}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </li>
  );
}
