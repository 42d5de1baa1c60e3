// The attempt that failed: its error, its code as it ran, the end of its log, what it read, and what changed since the last good run.
import { useLayoutEffect, useRef } from "react";
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { ActButtons, useRefusedActs } from "../../parts/ActButtons";
import { addressOf } from "../../parts/addresses";
import { Ansi } from "../../parts/Ansi";
import { Command } from "../../parts/Command";
import { Loaded, Panel } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { visibleText } from "../../parts/visible";
import { many } from "../../parts/words";
import { Why } from "../log/Log";
import { nodePartition } from "../../parts/partitions";
import { Changes, Inputs } from "./Changes";
import "./failed.css";

type Attempt = Schema["FailedAttemptRow"];

/** Nothing where the cause isn't a failed attempt, or its attempts aren't kept any more. */
export function Failed({ incident, ended }: { incident: string; ended: boolean }) {
  return (
    <Loaded document={useResponse("/api/v1/incidents/{incident}/failure", { path: { incident } })}>
      {({ failed }) => failed && <FailedAttempt row={failed} ended={ended} />}
    </Loaded>
  );
}

function FailedAttempt({ row, ended }: { row: Attempt; ended: boolean }) {
  const refused = useRefusedActs();
  const retry = {
    label: "Retry…",
    command: "retry",
    to: `${addressOf("asset", row.node)}?act=retry`,
  };
  const whole = `/runs/${encodeURIComponent(row.run_id)}?${new URLSearchParams({ attempt: row.attempt })}`;
  return (
    <>
      <Panel
        title="Failed attempt"
        aside={
          <>
            {nodePartition(row.node, ...row.partitions)}, <Time at={row.at} />,{" "}
            <Link to={whole}>attempt {row.attempt}, the whole log</Link>
          </>
        }
      >
        {row.error && <Why error={row.error} />}
        {!row.error && row.reason && <p className="body">{row.reason}</p>}
        {row.code && <Excerpt code={row.code} />}
        {row.traceback.length > 0 && (
          <Lines title="Traceback" lines={row.traceback} aside={linesAside(row.traceback)} />
        )}
        {row.log.length > 0 && (
          <Lines
            end
            title={row.traceback.length > 0 ? "Log before it" : "Log end"}
            lines={row.log}
            aside={`${many(row.log_lines, "line")} in all`}
          />
        )}
        <LogNote row={row} />
        <div className="body stack">
          <h3>Try again</h3>
          {row.commands.map((text) => (
            <Command key={text} text={text} />
          ))}
          {!ended && (
            <div className="row">
              <span>
                These publish nothing. To run it again and publish what passes its checks:
              </span>
              <ActButtons acts={[retry]} refused={refused} />
            </div>
          )}
        </div>
      </Panel>
      <Inputs row={row} />
      <Changes row={row} />
    </>
  );
}

/** Why there is no log, where there is none. */
function LogNote({ row }: { row: Attempt }) {
  if (row.withheld)
    return (
      <p className="body muted">
        {many(row.log_lines, "line")} of its log left out: the code reads columns that you may not
        see.
      </p>
    );
  return row.log_lines === 0 ? <p className="body muted">It wrote no log.</p> : null;
}

const linesAside = (lines: readonly Schema["LogRow"][]): string => {
  const [first, last] = [lines[0]?.number ?? 0, lines.at(-1)?.number ?? 0];
  const left = last - first + 1 - lines.length;
  return `lines ${first} to ${last}${left > 0 ? `, ${left} left out` : ""}`;
};

const APPLIED: Record<string, string> = {
  same: "the applied version is the same",
  changed: "the applied version is another",
  gone: "it isn’t in the applied version any more",
};

function Excerpt({ code }: { code: Schema["CodeExcerptRow"] }) {
  const title = `${visibleText(code.file)}:${code.line}`;
  return (
    <figure className="body excerpt">
      <figcaption>
        <code>{title}</code>{" "}
        <span className="muted small">
          as of version {code.version}; {APPLIED[code.applied] ?? code.applied}
          {code.now_in && (
            <>
              : it is in <code>{visibleText(code.now_in)}</code> now
            </>
          )}
        </span>
      </figcaption>
      <div className="code-lines" tabIndex={0} role="group" aria-label={`Code at ${title}`}>
        <ol start={code.first}>
          {code.lines.map((text, index) => {
            const number = code.first + index;
            const failing = number === code.line;
            return (
              <li key={number} value={number} data-failing={failing || undefined}>
                <span className="number" aria-hidden="true">
                  {failing ? "▶ " : ""}
                  {number}
                </span>
                <span className="text">
                  {failing && <span className="visually-hidden">failing line: </span>}
                  {visibleText(text)}
                </span>
              </li>
            );
          })}
        </ol>
      </div>
    </figure>
  );
}

function Lines({
  title,
  lines,
  aside,
  end = false,
}: {
  title: string;
  lines: readonly Schema["LogRow"][];
  aside: string;
  /** Whether the last lines are seen first. */
  end?: boolean;
}) {
  const boxRef = useRef<HTMLDivElement>(null);
  const last = lines.at(-1)?.number;
  useLayoutEffect(() => {
    if (end && boxRef.current) boxRef.current.scrollTop = boxRef.current.scrollHeight;
  }, [end, last]);
  return (
    <div className="body">
      <h3>
        {title} <span className="muted small">{aside}</span>
      </h3>
      <div ref={boxRef} className="log-end" tabIndex={0} role="group" aria-label={title}>
        {lines.map((line) => (
          <div key={line.number}>
            <Ansi text={line.text} />
          </div>
        ))}
      </div>
    </div>
  );
}
