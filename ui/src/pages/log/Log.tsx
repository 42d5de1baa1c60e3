// What an attempt wrote, followed while it is under way. What is searched for and the line that a link means are in the address.
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Ansi } from "../../parts/Ansi";
import { withoutColors } from "../../parts/ansi";
import { Empty, Panel, Refusal } from "../../parts/Page";
import { useZone } from "../../parts/zone";
import { secondOf } from "../../parts/times";
import { visibleText } from "../../parts/visible";
import { many } from "../../parts/words";
import { nodePartition, partitionRange } from "../../parts/partitions";
import { findError, useLines, type Lines } from "./useLines";
import "./log.css";

/** So near to the end, in pixels, is at the end: new lines scroll by. */
const AT_END = 40;
/** What of the address is about the log. */
const LOG_PARAMS = ["attempt", "grep", "line"];

export function Log({ attempt }: { attempt: string }) {
  const [params, setParams] = useSearchParams();
  const grep = params.get("grep") ?? "";
  const chosen = Number(params.get("line")) || null;
  const log = useLines(attempt, grep, chosen);
  const { page } = log;
  const panelRef = useRef<HTMLDivElement>(null);
  const there = page !== null;
  useEffect(() => {
    if (there) panelRef.current?.scrollIntoView({ block: "start" });
  }, [attempt, there]);

  const otherParams = Object.fromEntries(
    [...params].filter(([name]) => !LOG_PARAMS.includes(name)),
  );
  const to = (values: Record<string, string>) => ({ ...otherParams, attempt, ...values });
  const search = (event: React.SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const text = new URLSearchParams(new FormData(event.currentTarget) as never).get("grep") ?? "";
    setParams(to(text ? { grep: text } : {}), { preventScrollReset: true });
  };
  return (
    <div ref={panelRef} className="log-panel">
      <Panel
        title={
          page
            ? `Log of ${nodePartition(page.node, ...page.partitions)}`
            : `Log of attempt ${attempt}`
        }
        aside={page ? <span role="status">{summaryOf(log, grep)}</span> : `attempt ${attempt}`}
      >
        <form className="row body" onSubmit={search} role="search">
          <input
            key={grep}
            className="input"
            style={{ flex: "1 1 12rem", width: "auto", minWidth: 0 }}
            type="search"
            name="grep"
            defaultValue={grep}
            placeholder="Lines that contain…"
            aria-label="Lines that contain"
          />
          <button type="submit" className="button">
            Search
          </button>
          {there && !grep && (
            <>
              <button type="button" className="button" onClick={log.first}>
                First lines
              </button>
              <button type="button" className="button" onClick={log.last}>
                Last lines
              </button>
            </>
          )}
          {there && (
            <>
              <ErrorButton
                attempt={attempt}
                chosen={grep ? null : chosen}
                show={(line) => setParams(to({ line: String(line) }), { preventScrollReset: true })}
              />
              <a
                className="button"
                href={`/api/v1/attempts/${encodeURIComponent(attempt)}/log.txt`}
                download
              >
                Download
              </a>
            </>
          )}
          <button
            type="button"
            className="button plain"
            onClick={() => setParams(otherParams, { preventScrollReset: true })}
          >
            Close the log
          </button>
        </form>
        {page && <OtherAttempts page={page} />}
        {log.problem && <Refusal problem={log.problem} stale={there} />}
        {page?.error && <Why error={page.error} />}
        {!there && !log.problem && (
          <p className="empty" role="status">
            Loading…
          </p>
        )}
        {there && !log.lines.length && !log.busy && (
          <Nothing grep={grep} open={page.open} all={page.looked >= page.total} />
        )}
        {log.earlier && (
          <p className="body">
            <button type="button" className="button" disabled={log.busy} onClick={log.earlier}>
              Earlier lines
            </button>
          </p>
        )}
        {log.lines.length > 0 && (
          <LogLines
            lines={log.lines}
            chosen={chosen}
            grep={grep}
            follows={page?.open ?? false}
            to={(line) => `?${new URLSearchParams(to({ line: String(line) }))}`}
          />
        )}
        {log.later && (
          <p className="body">
            <button type="button" className="button" disabled={log.busy} onClick={log.later}>
              More lines
            </button>
          </p>
        )}
      </Panel>
    </div>
  );
}

/** Goes to the first line that reports an error, or to the next one after the line that is chosen. */
function ErrorButton({
  attempt,
  chosen,
  show,
}: {
  attempt: string;
  chosen: number | null;
  show: (line: number) => void;
}) {
  const [state, setState] = useState<"idle" | "busy" | "none">("idle");
  const find = async () => {
    setState("busy");
    const line = await findError(attempt, chosen === null ? 1 : chosen + 1).catch(() => null);
    setState(line === null ? "none" : "idle");
    if (line !== null) show(line);
  };
  const label = chosen === null ? "First error" : "Next error";
  return (
    <>
      <button
        type="button"
        className="button"
        disabled={state === "busy"}
        onClick={() => void find()}
      >
        {label}
      </button>
      <span role="status" className="muted small">
        {state === "none" && (chosen === null ? "No line reports an error" : "No further error")}
      </span>
    </>
  );
}

/** So many attempts at the same partition are offered, the newest first. */
const ATTEMPTS = 8;

function OtherAttempts({ page }: { page: Schema["LogsResponse"] }) {
  const runs = useResponse("/api/v1/runs", { query: { node: page.node, limit: 50 } });
  const partition = page.partitions.at(-1);
  const rows = (runs.data ?? []).filter((row) => row.attempt && row.partition === partition);
  if (rows.length < 2) return null;
  return (
    <nav
      className="body row small"
      aria-label={`Attempts at ${partitionRange(page.partitions.slice(-1)) || "it"}`}
    >
      <span className="muted">Attempts</span>
      {rows.slice(0, ATTEMPTS).map((row) => {
        const attempt = row.attempt ?? "";
        return attempt === page.attempt ? (
          <strong key={attempt} aria-current="page">
            {attempt} ({row.state})
          </strong>
        ) : (
          <Link
            key={attempt}
            to={`/runs/${encodeURIComponent(row.run_id)}?${new URLSearchParams({ attempt })}`}
          >
            {attempt} ({row.state})
          </Link>
        );
      })}
    </nav>
  );
}

function summaryOf({ page, lines }: Lines, grep: string): string {
  if (!page) return "";
  const followed = page.open ? "; followed: it is under way" : "";
  const through =
    page.looked < page.total
      ? `, ${page.looked.toLocaleString("en")} of ${many(page.total, "line")} looked through`
      : ` of ${many(page.total, "line")}`;
  if (grep) {
    const hits = lines.filter((line) => withoutColors(line.text).includes(grep)).length;
    return `${many(hits, "line")} with it${through}${followed}`;
  }
  const [first, last] = [lines[0], lines.at(-1)];
  const range =
    first && last
      ? `lines ${first.number.toLocaleString("en")} to ${last.number.toLocaleString("en")}`
      : "no line";
  return `${range} of ${page.total.toLocaleString("en")}${followed}`;
}

function Nothing({ grep, open, all }: { grep: string; open: boolean; all: boolean }) {
  if (!all)
    return (
      <p className="empty" role="status">
        Looking…
      </p>
    );
  if (grep)
    return (
      <Empty>
        <strong>No line contains that.</strong> Capitals count. An empty search shows all lines.
      </Empty>
    );
  return (
    <Empty>
      <strong>{open ? "It hasn’t written anything yet." : "It wrote nothing."}</strong> What code
      prints or logs while it runs stands here.
    </Empty>
  );
}

function LogLines({
  lines,
  chosen,
  grep,
  follows,
  to,
}: {
  lines: readonly Schema["LogRow"][];
  chosen: number | null;
  grep: string;
  follows: boolean;
  to: (line: number) => string;
}) {
  const boxRef = useRef<HTMLDivElement>(null);
  const atEndRef = useRef(follows);
  const last = lines.at(-1)?.number;
  const { zone } = useZone();
  useLayoutEffect(() => {
    if (follows && atEndRef.current && boxRef.current)
      boxRef.current.scrollTop = boxRef.current.scrollHeight;
  }, [last, follows]);
  const scrolled = () => {
    if (!boxRef.current) return;
    const { scrollHeight, scrollTop, clientHeight } = boxRef.current;
    atEndRef.current = scrollHeight - scrollTop - clientHeight < AT_END;
  };
  return (
    <div
      className="log"
      ref={boxRef}
      onScroll={scrolled}
      tabIndex={0}
      role="group"
      aria-label="Lines"
    >
      <ol>
        {lines.map((line, index) => (
          <Line
            key={line.number}
            line={line}
            gap={index > 0 && line.number !== (lines[index - 1]?.number ?? 0) + 1}
            chosen={line.number === chosen}
            grep={grep}
            zone={zone}
            to={to(line.number)}
          />
        ))}
      </ol>
    </div>
  );
}

function Line({
  line,
  gap,
  chosen,
  grep,
  zone,
  to,
}: {
  line: Schema["LogRow"];
  /** Whether lines before it are left out. */
  gap: boolean;
  chosen: boolean;
  grep: string;
  zone: string | undefined;
  to: string;
}) {
  const itemRef = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (chosen) itemRef.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <li
      ref={itemRef}
      value={line.number}
      data-chosen={chosen || undefined}
      data-gap={gap || undefined}
    >
      <Link
        to={to}
        preventScrollReset
        aria-label={`Line ${line.number}`}
        title={grep ? "The line among its neighbours" : "A link to this line"}
        aria-current={chosen ? "true" : undefined}
      >
        {line.number}
      </Link>
      <time dateTime={line.at} title={line.at}>
        {secondOf(line.at, zone)}
      </time>
      <span className={`level ${LEVELS[line.level] ?? "muted"}`}>{line.level || line.stream}</span>
      <span className="text">
        <Ansi text={line.text} mark={grep} />
      </span>
    </li>
  );
}

const LEVELS: Record<string, string> = {
  warning: "ansi-yellow",
  error: "ansi-red",
  critical: "ansi-red",
};

export function Why({ error }: { error: Schema["ErrorRow"] }) {
  return (
    <div className="body">
      <div className="notice tone-bad">
        <div>
          <strong>
            {error.kind}: {visibleText(error.message)}
          </strong>
          {error.file && (
            <p>
              <code>
                {visibleText(error.file)}
                {error.line !== null && `:${error.line}`}
              </code>
            </p>
          )}
          {error.hint && <p className="muted">{error.hint}</p>}
        </div>
      </div>
    </div>
  );
}
