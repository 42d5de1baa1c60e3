// What an attempt wrote, followed while it is under way. What is searched for and the line that a link means are in the address.
import { useEffect, useLayoutEffect, useRef } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useStatus } from "../../api/responses";
import { Empty, Panel, Refusal } from "../../parts/Page";
import { secondOf } from "../../parts/Time";
import { many } from "../../parts/words";
import { spanned } from "../run/Gantt";
import { useLines, type Lines } from "./useLines";
import "./log.css";

/** So near to the end, in pixels, is at the end: new lines scroll by. */
const AT_END = 40;
/** What of the address is about the log. */
const OWN = ["attempt", "grep", "line"];

export function Log({ attempt }: { attempt: string }) {
  const [params, setParams] = useSearchParams();
  const grep = params.get("grep") ?? "";
  const chosen = Number(params.get("line")) || null;
  const found = useLines(attempt, grep, chosen);
  const { page } = found;
  const panel = useRef<HTMLDivElement>(null);
  const there = page !== null;
  useEffect(() => {
    if (there) panel.current?.scrollIntoView({ block: "start" });
  }, [attempt, there]);

  const kept = Object.fromEntries([...params].filter(([name]) => !OWN.includes(name)));
  const to = (values: Record<string, string>) => ({ ...kept, attempt, ...values });
  const search = (event: React.FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const wanted = String(new FormData(event.currentTarget).get("grep") ?? "");
    setParams(to(wanted ? { grep: wanted } : {}), { preventScrollReset: true });
  };
  return (
    <div ref={panel} className="log-panel">
      <Panel title={page ? `Log of ${page.node} ${spanned(page.partitions)}` : `Log of attempt ${attempt}`} aside={page ? <span role="status">{said(found, grep)}</span> : `attempt ${attempt}`}>
        <form className="row body" onSubmit={search} role="search">
          <input key={grep} className="input" style={{ flex: "1 1 12rem", width: "auto", minWidth: 0 }} type="search" name="grep" defaultValue={grep} placeholder="Lines that contain…" aria-label="Lines that contain" />
          <button type="submit" className="button">Search</button>
          {there && !grep && <><button type="button" className="button" onClick={found.first}>First lines</button><button type="button" className="button" onClick={found.last}>Last lines</button></>}
          <button type="button" className="button plain" onClick={() => setParams(kept, { preventScrollReset: true })}>Close the log</button>
        </form>
        {found.problem && <Refusal problem={found.problem} stale={there} />}
        {page?.error && <Why error={page.error} />}
        {!there && !found.problem && <p className="empty" role="status">Loading…</p>}
        {there && !found.lines.length && !found.busy && <Nothing grep={grep} open={page.open} all={page.looked >= page.total} />}
        {found.earlier && <p className="body"><button type="button" className="button" disabled={found.busy} onClick={found.earlier}>Earlier lines</button></p>}
        {found.lines.length > 0 && <Shown lines={found.lines} chosen={chosen} grep={grep} follows={page?.open ?? false} to={(line) => `?${new URLSearchParams(to({ line: String(line) }))}`} />}
        {found.later && <p className="body"><button type="button" className="button" disabled={found.busy} onClick={found.later}>More lines</button></p>}
      </Panel>
    </div>
  );
}

function said({ page, lines }: Lines, grep: string): string {
  if (!page) return "";
  const followed = page.open ? "; followed: it is under way" : "";
  const through = page.looked < page.total ? `, ${page.looked.toLocaleString("en")} of ${many(page.total, "line")} looked through` : ` of ${many(page.total, "line")}`;
  if (grep) return `${many(lines.length, "line")} with it${through}${followed}`;
  const first = lines[0]?.number;
  return `${first === undefined ? "no line" : `lines ${first.toLocaleString("en")} to ${lines.at(-1)!.number.toLocaleString("en")}`} of ${page.total.toLocaleString("en")}${followed}`;
}

function Nothing({ grep, open, all }: { grep: string; open: boolean; all: boolean }) {
  if (!all) return <p className="empty" role="status">Looking…</p>;
  if (grep) return <Empty><strong>No line contains that.</strong> Capitals count. An empty search shows all lines.</Empty>;
  return <Empty><strong>{open ? "It hasn’t written anything yet." : "It wrote nothing."}</strong> What code prints or logs while it runs stands here.</Empty>;
}

function Shown({ lines, chosen, grep, follows, to }: { lines: readonly Schema["LogRow"][]; chosen: number | null; grep: string; follows: boolean; to: (line: number) => string }) {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(follows);
  const last = lines.at(-1)!.number;
  const zone = useStatus().data?.timezone;
  useLayoutEffect(() => {
    if (follows && atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [last, follows]);
  const scrolled = () => {
    const { scrollHeight, scrollTop, clientHeight } = box.current!;
    atEnd.current = scrollHeight - scrollTop - clientHeight < AT_END;
  };
  return (
    <div className="log" ref={box} onScroll={scrolled} tabIndex={0} role="group" aria-label="Lines">
      <ol>{lines.map((line) => <Line key={line.number} line={line} chosen={line.number === chosen} grep={grep} zone={zone} to={to(line.number)} />)}</ol>
    </div>
  );
}

function Line({ line, chosen, grep, zone, to }: { line: Schema["LogRow"]; chosen: boolean; grep: string; zone: string | undefined; to: string }) {
  const item = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (chosen) item.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <li ref={item} value={line.number} data-chosen={chosen || undefined}>
      <Link to={to} preventScrollReset aria-label={`Line ${line.number}`} title={grep ? "The line among its neighbours" : "A link to this line"} aria-current={chosen ? "true" : undefined}>{line.number}</Link>
      <time dateTime={line.at} title={line.at}>{secondOf(line.at, zone)}</time>
      <span className="level muted">{line.level || line.stream}</span>
      <span className="text">{grep ? <Marked text={line.text} grep={grep} /> : line.text}</span>
    </li>
  );
}

function Marked({ text, grep }: { text: string; grep: string }) {
  return <>{text.split(grep).map((part, index) => <span key={index}>{index > 0 && <mark>{grep}</mark>}{part}</span>)}</>;
}

export function Why({ error }: { error: Schema["ErrorRow"] }) {
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
