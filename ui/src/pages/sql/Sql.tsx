// A query over one snapshot of all that is published: read-only, bounded, cancelled when the page is left.
import { useEffect, useRef, useState } from "react";
import {
  ACT_HEADER,
  client,
  problemOf,
  problemWithoutAnswer,
  type Problem,
} from "../../api/client";
import { useFilters } from "../../parts/filters";
import { Empty, Heading, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Since } from "../../parts/Time";
import { cellText } from "../../parts/values";
import { many } from "../../parts/words";
import { Editor } from "./Editor";
import { forget, remember, usePast } from "./history";
import { Result, type Response } from "./Result";
import { Tables } from "./Tables";
import "./sql.css";

const ROWS = [100, 1_000, 10_000] as const;

type State =
  | { kind: "idle" }
  | { kind: "running"; since: string; cancel: () => void }
  | { kind: "done"; response: Response }
  | { kind: "cancelled" }
  | { kind: "failed"; problem: Problem };

export function Sql() {
  usePageTitle("SQL");
  const { values, set } = useFilters(["query", "limit"]);
  const [query, setQuery] = useState(values.query ?? "");
  const [state, setState] = useState<State>({ kind: "idle" });
  const areaRef = useRef<HTMLTextAreaElement>(null);
  const cancelRef = useRef<(() => void) | null>(null);
  useEffect(() => () => cancelRef.current?.(), []);
  const limit = ROWS.find((rows) => String(rows) === values.limit) ?? ROWS[1];

  const run = async () => {
    if (!query.trim()) return;
    cancelRef.current?.();
    const controller = new AbortController();
    const cancel = () => controller.abort();
    cancelRef.current = cancel;
    set("query", query);
    setState({ kind: "running", since: new Date().toISOString(), cancel });
    const next = await ask(query, limit, controller.signal);
    if (cancelRef.current !== cancel) return; // another one has begun since
    if (next.kind !== "cancelled")
      remember({
        query,
        at: Date.now(),
        rows: next.kind === "done" ? next.response.rows.length : null,
      });
    setState(next);
  };
  const insert = (text: string) => {
    const area = areaRef.current;
    if (!area) return;
    const before = area.value[area.selectionStart - 1] ?? "";
    const spaced = /[\w"]/.test(before) ? ` ${text}` : text;
    area.focus();
    area.setRangeText(spaced, area.selectionStart, area.selectionEnd, "end");
    setQuery(area.value);
  };
  return (
    <div className="stack">
      <Heading
        title="SQL"
        subtitle="One query over one snapshot of all published tables. Nothing can be changed; classified columns are masked or left out."
      />
      <div className="sql-page">
        <Panel title="Query">
          <div className="body stack">
            <Editor areaRef={areaRef} query={query} change={setQuery} run={() => void run()} />
            <div className="row">
              <button
                type="button"
                className="button main"
                disabled={!query.trim() || state.kind === "running"}
                onClick={() => void run()}
              >
                Run query
              </button>
              {state.kind === "running" && (
                <button type="button" className="button" onClick={state.cancel}>
                  Cancel
                </button>
              )}
              <Select
                name="Rows at most"
                value={`${limit}`}
                choices={ROWS.map((rows) => [`${rows}`, rows.toLocaleString("en")] as const)}
                choose={(rows) => set("limit", rows)}
                inline
              />
              <span role="status" className="muted small">
                {state.kind === "running" && (
                  <Since at={state.since} suffix="so far" before="Running, " />
                )}
                {state.kind === "cancelled" && "Cancelled."}
              </span>
            </div>
            {state.kind === "failed" && <Refusal problem={state.problem} />}
          </div>
        </Panel>
        <Tables insert={insert} />
        <div className="stack">
          {state.kind === "done" && <Result response={state.response} />}
          <Past choose={setQuery} />
        </div>
      </div>
    </div>
  );
}

/** Runs a query; one that is cancelled is ended on the server, too. */
async function ask(query: string, limit: number, signal: AbortSignal): Promise<State> {
  try {
    const { data, error, response } = await client.POST("/api/v1/sql", {
      body: { query, limit },
      headers: ACT_HEADER,
      signal,
    });
    if (data === undefined) return { kind: "failed", problem: problemOf(response, error) };
    return { kind: "done", response: data };
  } catch (error) {
    if (signal.aborted) return { kind: "cancelled" };
    return { kind: "failed", problem: problemWithoutAnswer(error) };
  }
}

function Past({ choose }: { choose: (query: string) => void }) {
  const past = usePast();
  return (
    <Panel title="History" aside={past.length ? "in this browser only" : undefined}>
      {past.length ? (
        <ul className="past">
          {past.map(({ query, at, rows }) => (
            <li key={query}>
              <button type="button" className="button plain mono" onClick={() => choose(query)}>
                {cellText(query.replace(/\s+/g, " "))}
              </button>
              <span className="muted small">
                {rows === null ? "failed" : many(rows, "row")}
                <Since at={new Date(at).toISOString()} suffix="ago" before=", " />
              </span>
            </li>
          ))}
          <li>
            <button type="button" className="button" onClick={forget}>
              Clear history
            </button>
          </li>
        </ul>
      ) : (
        <Empty>
          <strong>No query yet.</strong> Queries that you run are listed here, in this browser only.
          For example <code>select * from ASSET limit 10</code>.
        </Empty>
      )}
    </Panel>
  );
}
