// One run: its attempts over time, the log of one of them, and what can be done about it.
import { lazy, Suspense, useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import type { UseQueryResult } from "@tanstack/react-query";
import type { Problem, Schema } from "../../api/client";
import { usePages, useResponse, type Pages } from "../../api/responses";
import {
  Empty,
  Heading,
  Loaded,
  Placeholder,
  Panel,
  Refusal,
  usePageTitle,
} from "../../parts/Page";
import { ActButtons, refusalOf, useRefusedActs } from "../../parts/ActButtons";
import { MoreButton } from "../../parts/MoreButton";
import { FilterSelect } from "../../parts/Select";
import { State, labelOf } from "../../parts/State";
import { useFilters } from "../../parts/filters";
import { formatDuration } from "../../parts/durations";
import { Since, Time } from "../../parts/Time";
import { Visit } from "../../parts/recent";
import { useAsked } from "../../parts/useAsked";
import { many } from "../../parts/words";
import { nodePartition } from "../../parts/partitions";
import { Cancel, Retry } from "./acts";
import { Ledger } from "../../parts/Ledger";
import { axisOf } from "./attempts";
import { Gantt } from "./Gantt";
import { Typed } from "./Typed";
import { Log } from "../log/Log";

const Slots = lazy(async () => ({ default: (await import("./Load")).Slots }));
const SLOTS_LOADING = (
  <Panel title="Slots and pools">
    <Placeholder problem={null} />
  </Panel>
);

type Attempt = Schema["TimedAttempt"];
type About = Schema["RunTimeline"];
const FILTERS = ["node", "state"] as const;
/** Shorter runs are read without a filter. */
const UNFILTERED_MAX = 12;
/** A server's own waves: nobody asked for them, so nobody can take them back. */
const BY_ITSELF = "serve";

type Wanted = { failed?: true; state?: string; node?: string };
const FAILED_SHOWN = 100;
const SHOWN = 30;

/** The attempts of a run in pages; the server filters, because a run may have thousands. */
const useAttempts = (run: string, wanted: Wanted) =>
  usePages("/api/v1/runs/{run}", (cursor) => ({
    path: { run },
    query: {
      ...wanted,
      limit: wanted.failed ? FAILED_SHOWN : SHOWN,
      ...(cursor ? { cursor } : {}),
    },
  }));

export function Run() {
  const { run = "" } = useParams();
  usePageTitle(`Run ${run}`);
  const [params] = useSearchParams();
  const { values } = useFilters(FILTERS);
  const response = useAttempts(run, values);
  const path = useResponse("/api/v1/runs/{run}/path", { path: { run } });
  const first = response.pages[0];
  if (first?.run_id !== run)
    return <Placeholder problem={response.error} heading={`Run ${run}`} name={run} />;
  const attempts = response.pages.flatMap((page) => page.attempts);
  const attempt = params.get("attempt");
  return (
    <div className="stack">
      <Visit />
      {response.error && <Refusal problem={response.error} stale />}
      <Top run={first} attempts={attempts} />
      {first.unpublished > 0 && <Failures run={first} />}
      <Attempts
        run={first}
        attempts={attempts}
        onPath={path.isPlaceholderData ? [] : (path.data?.attempts ?? [])}
        response={response}
      />
      {attempt && <Log key={attempt} attempt={attempt} />}
      {first.total > 0 && (
        <>
          <CriticalPath response={path} />
          {!path.isPending && (
            <Suspense fallback={SLOTS_LOADING}>
              <Slots run={run} />
            </Suspense>
          )}
        </>
      )}
    </div>
  );
}

const CANCEL = ["cancel"] as const;
const NOTHING: readonly "cancel"[] = [];

function Top({ run, attempts }: { run: About; attempts: readonly Attempt[] }) {
  const [dialog, setDialog] = useState<"retry" | "cancel" | null>(null);
  const over = run.finished_at !== null;
  const cancels = run.state === "running" && run.kind !== BY_ITSELF;
  const refused = useRefusedActs();
  useAsked(cancels && !refusalOf(refused, "cancel") ? CANCEL : NOTHING, setDialog);
  const retry = {
    label: "Retry what failed…",
    command: "retry",
    main: true,
    begin: () => setDialog("retry"),
  };
  const cancel = { label: "Cancel…", command: "cancel", begin: () => setDialog("cancel") };
  return (
    <>
      <Heading
        title={
          <span className="row">
            {run.kind} {run.run_id} <State of={run.state} />
          </span>
        }
        subtitle={
          <Subtitle
            run={run}
            backfill={attempts.find((attempt) => attempt.backfill)?.backfill ?? null}
          />
        }
      >
        <ActButtons
          acts={[...(over && run.retryable > 0 ? [retry] : []), ...(cancels ? [cancel] : [])]}
          refused={refused}
        />
      </Heading>
      {run.cancelled_at && (
        <div className="notice tone-warn">
          <p>
            <strong>Cancelled</strong> by {run.cancelled_by}, <Time at={run.cancelled_at} />
            {run.cancel_reason && <>: {run.cancel_reason}</>}. What was published by then stays.
          </p>
        </div>
      )}
      {dialog === "retry" && <Retry run={run} close={() => setDialog(null)} />}
      {dialog === "cancel" && <Cancel run={run} close={() => setDialog(null)} />}
    </>
  );
}

/** What failed or was withheld, before everything else. */
function Failures({ run }: { run: About }) {
  const response = useAttempts(run.run_id, { failed: true });
  const pages = response.isPlaceholderData ? [] : response.pages;
  const failed = pages.flatMap((page) => page.attempts);
  return (
    <Panel
      title="Unsuccessful attempts"
      aside={`${run.unpublished.toLocaleString("en")} of ${many(run.total, "attempt")}`}
    >
      {response.error && <Refusal problem={response.error} stale={failed.length > 0} />}
      {failed.length > 0 && <Reasons attempts={failed} total={run.unpublished} />}
      {!pages.length && !response.error && <Placeholder problem={null} />}
      {pages.length > 0 && !failed.length && <Empty>None of them is listed.</Empty>}
      <MoreButton of={response} label="Show more" />
    </Panel>
  );
}

function Subtitle({ run, backfill }: { run: About; backfill: string | null }) {
  const lasted = run.finished_at ? (
    `, lasted ${formatDuration((Date.parse(run.finished_at) - Date.parse(run.started_at)) / 1000)}`
  ) : run.state === "running" ? (
    <Since at={run.started_at} suffix="so far" before=", " />
  ) : (
    ""
  );
  return (
    <>
      Run {run.run_id} · by {run.actor} · began <Time at={run.started_at} />
      {lasted}
      {backfill && (
        <>
          {" "}
          · of <Link to={`/backfills/${encodeURIComponent(backfill)}`}>backfill {backfill}</Link>
        </>
      )}
    </>
  );
}

function CriticalPath({ response }: { response: UseQueryResult<Schema["RunPath"], Problem> }) {
  return (
    <Panel title="Critical path">
      <Loaded document={response}>
        {({ ledger, hidden }) =>
          ledger ? (
            <Ledger ledger={ledger} />
          ) : (
            <Empty>
              {hidden
                ? "It leads through assets that your role doesn’t show."
                : "No attempt has ended yet."}
            </Empty>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Attempts({
  run,
  attempts,
  onPath,
  response,
}: {
  run: About;
  attempts: readonly Attempt[];
  onPath: readonly string[];
  response: Pages<About>;
}) {
  const { values, set } = useFilters(FILTERS);
  const filtered = Object.keys(values).length > 0;
  const loaded =
    attempts.length < run.total
      ? `${attempts.length.toLocaleString("en")} of ${many(run.matching, filtered ? "matching attempt" : "attempt")}`
      : many(attempts.length, "attempt");
  return (
    <Panel
      title="Attempts over time"
      aside={
        attempts.length > 0 ? `${loaded}, ${formatDuration(axisOf(attempts).seconds)}` : undefined
      }
    >
      {(filtered || run.total > UNFILTERED_MAX) && (
        <form
          className="body filters"
          aria-label="Filter attempts"
          onSubmit={(event) => event.preventDefault()}
        >
          <Typed
            label="Asset or source"
            value={values.node}
            placeholder="a part of a name"
            choose={(node) => set("node", node)}
          />
          <FilterSelect
            name="State"
            value={values.state}
            choices={Object.keys(run.counts)}
            textOf={(state) =>
              `${labelOf(state)} (${(run.counts[state] ?? 0).toLocaleString("en")})`
            }
            choose={(state) => set("state", state)}
          />
        </form>
      )}
      {attempts.length > 0 ? (
        <Gantt attempts={attempts} onPath={onPath} />
      ) : filtered ? (
        <Empty>
          <strong>None.</strong> No attempt of this run fits these filters.
        </Empty>
      ) : (
        <Empty>
          <strong>It attempted nothing.</strong> Nothing was due, or what was due waits for
          something: <code>headrace why ASSET</code> says for what.
        </Empty>
      )}
      <MoreButton of={response} label="Later attempts" />
    </Panel>
  );
}

/** Attempts that failed or were withheld, those with the same reason together. */
function Reasons({ attempts, total }: { attempts: readonly Attempt[]; total: number }) {
  const groups = Map.groupBy(attempts, ({ state, reason, published_since }) =>
    JSON.stringify([state, reason, published_since]),
  );
  return (
    <div className="body stack">
      {attempts.length < total && (
        <p className="muted">
          The first {attempts.length.toLocaleString("en")} of {many(total, "attempt")}
        </p>
      )}
      <ul className="stack">
        {[...groups].map(([key, group]) => (
          <Reason key={key} attempts={group} />
        ))}
      </ul>
    </div>
  );
}

const NAMED = 3;

function Reason({ attempts }: { attempts: readonly Attempt[] }) {
  const names = attempts.map(({ node, partitions: [key = "", ...others] }) =>
    [nodePartition(node, key), others.length && `and ${others.length} more`]
      .filter(Boolean)
      .join(" "),
  );
  const [first] = attempts;
  const reason = first?.reason;
  return (
    <li>
      <span className="row">
        {first && <State of={first.state} />} {names.slice(0, NAMED).join(", ")}
        {first?.published_since && <span className="muted">published since</span>}
      </span>
      {reason ? (
        <p style={{ overflowWrap: "anywhere" }}>{reason}</p>
      ) : (
        <p className="muted">No reason was recorded.</p>
      )}
      {names.length > NAMED && (
        <details>
          <summary>
            {many(names.length - NAMED, "more attempt")}
            {reason ? " with this reason" : ", also without a reason"}
          </summary>
          <p style={{ overflowWrap: "anywhere" }}>{names.slice(NAMED).join(", ")}</p>
        </details>
      )}
    </li>
  );
}
