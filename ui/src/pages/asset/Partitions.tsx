// What there is of a node: its partitions as a calendar and as a list, and the chosen one in full.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse, usePages } from "../../api/responses";
import { ActButtons, type Refused } from "../../parts/ActButtons";
import { Command } from "../../parts/Command";
import { Ledger, type LedgerData } from "../../parts/Ledger";
import { Empty, Loaded, Panel, Refusal } from "../../parts/Page";
import { MoreButton } from "../../parts/MoreButton";
import { Shape, State, toneOf, labelOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import { WHOLE, partitionName } from "../../parts/partitions";
import { Acts, RETRYABLE, type ActName } from "./acts";
import { HeatMap } from "./HeatMap";
import { Held, useHeld } from "./Held";
import { ordered, within, type Range } from "./range";

type Partition = Schema["PartitionRow"];
/** Below so many the list is shown at once. */
const LIST_OPEN_MAX = 12;
const WAITING = ["held", "rejected"];

export function Partitions({
  name,
  source,
  counted,
  refused,
}: {
  name: string;
  source: boolean;
  counted: readonly Schema["CountedRow"][];
  refused: Refused;
}) {
  const [params, setParams] = useSearchParams();
  const response = usePages("/api/v1/assets/{name}/partitions", (cursor) => ({
    path: { name },
    query: cursor ? { cursor } : {},
  }));
  if (!response.pages.length)
    return response.error ? (
      <Refusal problem={response.error} />
    ) : (
      <p className="empty" role="status">
        Loading…
      </p>
    );
  const partitions = response.pages.flatMap((page) => page.partitions);
  const from = params.get("partition");
  const chosen = from === null ? null : { from, to: params.get("to") ?? from };
  const choose = (to: string, further = false) =>
    setParams(
      (last) => {
        const next = new URLSearchParams(last);
        next.delete("to");
        next.set(further && from !== null ? "to" : "partition", to);
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  const several =
    chosen && chosen.from !== chosen.to
      ? partitions.filter((row) => within(chosen, row.partition))
      : [];
  const item = several.length ? undefined : partitions.find((row) => row.partition === from);
  return (
    <Panel title="Partitions" aside={<Legend counted={counted} />}>
      {partitions.length ? (
        <>
          <HeatMap partitions={partitions} chosen={chosen} choose={choose} />
          {item && (
            <SelectedPartition name={name} source={source} partition={item} refused={refused} />
          )}
          {chosen && several.length > 0 && (
            <SelectedRange name={name} chosen={chosen} refused={refused} />
          )}
          <details open={partitions.length <= LIST_OPEN_MAX}>
            <summary>
              As a list (
              {response.hasNextPage ? `the newest ${partitions.length}` : partitions.length})
            </summary>
            <Table
              label="Partitions"
              columns={columnsOf(choose)}
              rows={partitions}
              keyOf={(row) => row.partition}
            />
          </details>
          <MoreButton of={response} label="Older ones" />
        </>
      ) : (
        <Empty>
          {source
            ? "Nothing was delivered yet. The first partition comes with the first delivery; "
            : "Nothing is published yet. The first partition is computed once its inputs are there; "}
          <code>{`headrace why ${name}`}</code> says what it waits for.
        </Empty>
      )}
    </Panel>
  );
}

function Legend({ counted }: { counted: readonly Schema["CountedRow"][] }) {
  return (
    <span className="row">
      {counted.map((row) => (
        <span key={row.value} className={`tone-${toneOf(row.value)} legend`}>
          <Shape of={toneOf(row.value)} state={row.value} />
          {row.count.toLocaleString("en")} {labelOf(row.value)}
        </span>
      ))}
    </span>
  );
}

function columnsOf(choose: (partition: string) => void): readonly Column<Partition>[] {
  return [
    {
      name: "Partition",
      cell: (row) => (
        <button type="button" className="button plain mono" onClick={() => choose(row.partition)}>
          {partitionName(row.partition)}
        </button>
      ),
    },
    { name: "State", cell: (row) => <State of={row.state} /> },
    { name: "Rows", className: "number", cell: (row) => row.rows?.toLocaleString("en") ?? "" },
    {
      name: "Published",
      cell: (row) => (row.published_at ? <Time at={row.published_at} /> : "not yet"),
    },
    { name: "Why", className: "why", cell: (row) => row.reason ?? "" },
  ];
}

/** Whether a repair begins with accepting the names that the delivery came with. */
const acceptsNames = (command: string) => command.startsWith("headrace contract accept ");

function SelectedPartition({
  name,
  source,
  partition: item,
  refused,
}: {
  name: string;
  source: boolean;
  partition: Partition;
  refused: Refused;
}) {
  const seen = item.seen && !item.stale;
  const why = useResponse("/api/v1/why/{subject}", {
    path: { subject: `${name}@${item.partition}` },
  });
  const held = useHeld(name, item.partition, WAITING.includes(item.state));
  const names: ActName[] = [];
  if (RETRYABLE.includes(item.state)) names.push("retry");
  if (held.some((row) => row.repair?.commands.some(acceptsNames))) names.push("names");
  for (const word of ["accept", "drop"] as const)
    if (
      held.some((row) =>
        row.decide.some((command) => command.startsWith(`headrace quarantine ${word} `)),
      )
    )
      names.push(word);
  if (!source) names.push(item.seen ? "again" : "run");
  return (
    <div
      className="body chosen"
      role="region"
      aria-label={`Partition ${partitionName(item.partition)}`}
    >
      <h3 className="row">
        <span className="mono">{partitionName(item.partition)}</span> <State of={item.state} />
      </h3>
      {item.reason && <p>{item.reason}</p>}
      {!seen && (
        <Loaded document={why}>
          {(document) => (
            <>
              <p>{document.verdict}</p>
              {document.next && <Command text={document.next} />}
            </>
          )}
        </Loaded>
      )}
      <p className="muted">
        {item.rows !== null &&
          `${many(item.rows, "row")}${item.bytes === null ? "" : `, ${many(Math.ceil(item.bytes / 1000), "kB", "kB")}`}`}
        {item.published_at && (
          <>
            {item.rows !== null && ", "}published <Time at={item.published_at} />
          </>
        )}
        {item.failures > 0 && `; failed ${many(item.failures, "time")} in a row`}
      </p>
      {why.data?.segments && !why.isPlaceholderData && (
        <details>
          <summary>Delay ledger</summary>
          <Ledger ledger={why.data as LedgerData} />
        </details>
      )}
      {held.map((row) => (
        <Held key={`${row.attempt} ${row.partition}`} row={row} />
      ))}
      <div className="row">
        {item.seen && (
          <Link
            className="button"
            to={`?${new URLSearchParams({ part: "preview", partition: item.partition })}`}
          >
            See its data
          </Link>
        )}
        {item.published_at && (
          <Link
            className="button"
            to={`?${new URLSearchParams({ part: "difference", partition: item.partition })}`}
          >
            What changed
          </Link>
        )}
        <Acts
          names={names}
          node={name}
          partition={item.partition}
          refused={refused}
          backfill={
            item.partition === WHOLE
              ? undefined
              : {
                  label: "Backfill from here…",
                  to: backfillOf(name, { from: item.partition, to: item.partition }),
                }
          }
        />
      </div>
    </div>
  );
}

/** From one to another: what they are together, and what can be done about all of them. */
function SelectedRange({
  name,
  chosen,
  refused,
}: {
  name: string;
  chosen: Range;
  refused: Refused;
}) {
  const { from, to } = ordered(chosen);
  const response = useResponse("/api/v1/assets/{name}/partitions", {
    path: { name },
    query: { from, to },
  });
  return (
    <div className="body chosen" role="region" aria-label="Chosen partitions">
      <h3 className="mono">
        {from} – {to}
      </h3>
      <Loaded document={response}>
        {({ counted }) => (
          <p className="row">
            {many(
              counted.reduce((sum, row) => sum + row.count, 0),
              "partition",
            )}
            : <Legend counted={counted} />
          </p>
        )}
      </Loaded>
      <div className="row">
        <ActButtons
          acts={[
            {
              label: "Backfill these…",
              command: "backfill",
              main: true,
              to: backfillOf(name, chosen),
            },
          ]}
          refused={refused}
        />
      </div>
    </div>
  );
}

function backfillOf(name: string, range: Range): string {
  return `/backfills/new?${new URLSearchParams({ select: name, ...ordered(range) })}`;
}
