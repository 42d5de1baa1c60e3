// What an attempt wrote, followed while it is under way. What is searched for and the line that a link means are in the address.
import { useEffect, useRef } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { usePages } from "../../api/documents";
import { Empty, Panel, Refusal } from "../../parts/Page";
import { spanned } from "./Gantt";
import "./log.css";

const LINES = 500;
/** Lines are no changes of the record: nothing tells of them, so they are looked for. */
const FOLLOW_MS = 1_500;

export function Log({ attempt }: { attempt: string }) {
  const [params, setParams] = useSearchParams();
  const grep = params.get("grep") ?? "";
  const chosen = Number(params.get("line") ?? 0);
  const found = usePages("/api/v1/attempts/{attempt}/logs", (cursor) => ({ path: { attempt }, query: { limit: LINES, ...(grep ? { grep } : {}), ...(cursor ? { cursor } : {}) } }));
  const last = found.pages.at(-1);
  const lines = found.pages.flatMap((page) => page.lines);
  const more = found.hasNextPage && last !== undefined && (!last.open || last.lines.length >= LINES);
  const { refetch, fetchNextPage } = found;
  useEffect(() => {
    if (!last?.open) return undefined;
    const again = window.setInterval(() => void (more ? fetchNextPage() : refetch()), FOLLOW_MS);
    return () => window.clearInterval(again);
  }, [last?.open, more, refetch, fetchNextPage]);
  useEffect(() => {
    if (chosen > lines.length && more && !found.isFetching) void fetchNextPage();
  }, [chosen, lines.length, more, found.isFetching, fetchNextPage]);

  const panel = useRef<HTMLDivElement>(null);
  const there = last !== undefined;
  useEffect(() => {
    if (there) panel.current?.scrollIntoView({ block: "start" });
  }, [attempt, there]);
  const at = (values: Record<string, string>) => new URLSearchParams({ ...Object.fromEntries([...params].filter(([name]) => name !== "line")), ...values });
  const search = (event: React.FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const wanted = String(new FormData(event.currentTarget).get("grep") ?? "");
    const next = at({ grep: wanted });
    if (!wanted) next.delete("grep");
    setParams(next, { preventScrollReset: true });
  };
  const close = () => setParams(params.has("failed") ? { failed: "" } : {}, { preventScrollReset: true });
  return (
    <div ref={panel} className="log-panel">
      <Panel title={last ? `Log of ${last.node} ${spanned(last.partitions)}` : `Log of attempt ${attempt}`} aside={last?.open ? "followed: it is under way" : `attempt ${attempt}`}>
        <form className="row body" onSubmit={search} role="search">
          <input key={grep} className="input" style={{ flex: "1 1 12rem", width: "auto", minWidth: 0 }} type="search" name="grep" defaultValue={grep} placeholder="Lines that contain…" aria-label="Lines that contain" />
          <button type="submit" className="button">Search</button>
          <button type="button" className="button plain" onClick={close}>Close the log</button>
        </form>
        {found.error && <Refusal problem={found.error as never} stale={there} />}
        {last?.error && <Why error={last.error} />}
        {found.isPending && <p className="empty" role="status">Loading…</p>}
        {there && !lines.length && <Empty>{grep ? <><strong>No line contains that.</strong> An empty search shows all of them.</> : <><strong>It wrote nothing.</strong> What code prints or logs while it runs stands here.</>}</Empty>}
        {lines.length > 0 && (
          <div className="log" tabIndex={0} role="group" aria-label="Lines">
            <ol>{lines.map((line, index) => <Line key={index} number={index + 1} line={line} chosen={index + 1 === chosen} to={`?${at({ line: String(index + 1) })}`} />)}</ol>
          </div>
        )}
        {more && <p className="body"><button type="button" className="button" disabled={found.isFetchingNextPage} onClick={() => void fetchNextPage()}>More lines</button></p>}
      </Panel>
    </div>
  );
}

function Line({ number, line, chosen, to }: { number: number; line: Schema["LogRow"]; chosen: boolean; to: string }) {
  const item = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (chosen) item.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <li ref={item} data-chosen={chosen || undefined}>
      <Link to={to} preventScrollReset aria-label={`Line ${number}`} aria-current={chosen ? "true" : undefined}>{number}</Link>
      <time dateTime={line.at}>{new Date(line.at).toLocaleTimeString("en-GB")}</time>
      <span className="level muted">{line.level || line.stream}</span>
      <span className="text">{line.text}</span>
    </li>
  );
}

function Why({ error }: { error: Schema["ErrorRow"] }) {
  return (
    <div className="body">
      <div className="notice tone-bad"><div>
        <strong>{error.kind}: {error.message}</strong>
        {error.file && <p><code>{error.file}{error.line !== null && `:${error.line}`}</code></p>}
        {error.hint && <p className="muted">{error.hint}</p>}
      </div></div>
    </div>
  );
}
