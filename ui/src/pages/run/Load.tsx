// Slots and pools while a run lasted: how many were busy, how many of them by this run, and how much waited.
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { formatDuration } from "../../parts/durations";
import { useWidth } from "../../parts/useWidth";
import { areaOf, lineOf, stepsOf, summaryOf, type Step } from "./load";
import "./load.css";

type Load = Schema["RunLoad"];
type Lane = Schema["LoadLane"];

const BUSY_PX = 72;
const WAITING_PX = 28;
/** Room for the numbers at the left. */
const LEFT = 34;

export function Slots({ run }: { run: string }) {
  const response = useResponse("/api/v1/runs/{run}/slots", { path: { run } });
  return (
    <Panel title="Slots and pools">
      <Loaded document={response}>{(load) => <Lanes load={load} />}</Loaded>
    </Panel>
  );
}

function Lanes({ load }: { load: Load }) {
  const idle = load.lanes.every(
    (lane) => !summaryOf(lane).busyMost && !summaryOf(lane).waitingMost,
  );
  if (idle || !load.step_seconds)
    return (
      <Empty>
        <strong>No slot was busy.</strong> Nothing ran for long enough to be seen.
      </Empty>
    );
  return (
    <>
      {load.lanes.map((lane) => (
        <LaneChart key={lane.name} lane={lane} load={load} />
      ))}
      <p className="body row small muted">
        <span>
          <span className="load-key by-run" aria-hidden="true" /> busy by this run
        </span>
        <span>
          <span className="load-key busy" aria-hidden="true" /> busy by other runs
        </span>
        <span>
          <span className="load-key waiting" aria-hidden="true" /> ready and waiting
        </span>
        <span>
          Each step is the mean over {formatDuration(load.step_seconds)}.
          {load.limited && " Only assets that your role shows are counted."}
        </span>
      </p>
    </>
  );
}

function LaneChart({ lane, load }: { lane: Lane; load: Load }) {
  const [ref, width] = useWidth();
  const summary = summaryOf(lane);
  const title = lane.name === "slots" ? "Slots" : `Pool ${lane.name}`;
  const top = Math.max(lane.size ?? 0, summary.busyMost, 1);
  const across = { left: LEFT, width };
  const busy = { ...across, top: 6, height: BUSY_PX, most: top };
  const below = BUSY_PX + 16;
  const waiting = {
    ...across,
    top: below,
    height: WAITING_PX,
    most: Math.max(summary.waitingMost, 1),
  };
  const height = below + WAITING_PX + 4;
  const sizeY = busy.top + BUSY_PX * (1 - (lane.size ?? 0) / top);
  return (
    <figure className="load" ref={ref}>
      <figcaption className="row spread small">
        <strong>{title}</strong>
        <span className="muted">{summary.text}</span>
      </figcaption>
      <svg width={width} height={height} role="img" aria-label={`${title}: ${summary.text}`}>
        <g aria-hidden="true">
          <path className="busy" d={areaOf(lane.busy, busy)} />
          <path className="by-run" d={areaOf(lane.by_run, busy)} />
          {lane.size !== null && (
            <line className="size" x1={LEFT} x2={width} y1={sizeY} y2={sizeY} />
          )}
          <line
            className="zero"
            x1={LEFT}
            x2={width}
            y1={busy.top + BUSY_PX}
            y2={busy.top + BUSY_PX}
          />
          <text x={LEFT - 6} y={busy.top} dy="0.6em">
            {Math.round(top * 10) / 10}
          </text>
          <text x={LEFT - 6} y={busy.top + BUSY_PX} dy="0em">
            0
          </text>
          {summary.waitingMost > 0 && (
            <>
              <path className="waiting" d={areaOf(lane.waiting, waiting)} />
              <path className="waiting-line" d={lineOf(lane.waiting, waiting)} />
              <text x={LEFT - 6} y={below} dy="0.6em">
                {Math.ceil(summary.waitingMost)}
              </text>
            </>
          )}
          <line
            className="zero"
            x1={LEFT}
            x2={width}
            y1={below + WAITING_PX}
            y2={below + WAITING_PX}
          />
        </g>
      </svg>
      <p className="row spread small muted axis">
        <Time at={load.from} />
        <span>{formatDuration(lane.busy.length * load.step_seconds)} later</span>
      </p>
      <details>
        <summary>As a table ({lane.busy.length})</summary>
        <Table
          label={`${title} over time`}
          columns={columnsOf(lane)}
          rows={stepsOf(lane, load)}
          keyOf={(step) => step.at}
        />
      </details>
    </figure>
  );
}

const number = (value: number) => value.toLocaleString("en", { maximumFractionDigits: 2 });

function columnsOf(lane: Lane): readonly Column<Step>[] {
  return [
    { name: "From", cell: (step) => <Time at={step.at} /> },
    {
      name: lane.size === null ? "Busy" : `Busy of ${lane.size}`,
      className: "number",
      cell: (step) => number(step.busy),
    },
    { name: "By this run", className: "number", cell: (step) => number(step.byRun) },
    { name: "Waiting", className: "number", cell: (step) => number(step.waiting) },
  ];
}
