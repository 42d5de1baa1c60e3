// One asset on two sides, two snapshots or two environments: which partitions, columns and rows differ.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { CopyButton } from "../../parts/CopyButton";
import { Panel, Refusal } from "../../parts/Page";
import { instantText } from "../../parts/times";
import { Time } from "../../parts/Time";
import { cellText } from "../../parts/values";
import { useZone } from "../../parts/zone";
import { many } from "../../parts/words";
import { PartitionsPanel } from "./DifferencePartitions";
import { ColumnsPanel, RowsPanel } from "./DifferenceTables";
import { changed, PARAMETERS, sideValue, type Changes } from "./differenceTexts";
import "./snapshotDifference.css";

type Difference = Schema["SnapshotDifferenceResponse"];
type Side = Schema["DifferenceSideRow"];

export function SnapshotDifference({ name }: { name: string }) {
  const [params, setParams] = useSearchParams();
  const asked = Object.fromEntries(
    PARAMETERS.flatMap((key) => {
      const value = params.get(key);
      return value ? [[key, value]] : [];
    }),
  );
  const response = useResponse("/api/v1/assets/{name}/difference", {
    path: { name },
    query: asked,
  });
  const change = (changes: Changes) =>
    setParams((last) => changed(last, changes), { preventScrollReset: true });
  const difference = response.data;
  return (
    <div className={response.isPlaceholderData ? "stack updating" : "stack"}>
      <Panel title="Sides" aside={difference && <Shared difference={difference} />}>
        <div className="body stack">
          {response.error && <Refusal problem={response.error} stale={false} />}
          {response.error && PARAMETERS.some((key) => params.has(key)) && (
            <p>
              <Link to={`?${changed(params, { left: null, right: null, partition: null })}`}>
                Compare the newest change
              </Link>
            </p>
          )}
          {!difference && !response.error && (
            <p className="muted" role="status">
              Comparing…
            </p>
          )}
          {difference && !response.error && <Sides difference={difference} change={change} />}
        </div>
      </Panel>
      {difference && !response.error && (
        <>
          <PartitionsPanel difference={difference} />
          <ColumnsPanel difference={difference} />
          <RowsPanel difference={difference} />
        </>
      )}
    </div>
  );
}

function Shared({ difference: { left, right, partition } }: { difference: Difference }) {
  const [params] = useSearchParams();
  return (
    <CopyButton
      label="Copy link"
      text={() => {
        const pinned = changed(params, {
          left: sideValue(left, params.get("left"), params.get("right")),
          right: sideValue(right, params.get("right")),
          partition,
        });
        return `${window.location.origin}${window.location.pathname}?${pinned}`;
      }}
    />
  );
}

type SidesProps = { difference: Difference; change: (changes: Changes) => void };

function Sides({ difference, change }: SidesProps) {
  const [params] = useSearchParams();
  const { left, right, masked } = difference;
  const leftValue = sideValue(left, params.get("left"), params.get("right"));
  return (
    <>
      <div className="row sides">
        <Chooser
          label="Left"
          side={left}
          asked={params.get("left")}
          automatic="Before the newest change"
          difference={difference}
          choose={(value) => change({ left: value })}
        />
        <button
          type="button"
          className="button"
          disabled={leftValue === null}
          onClick={() => change({ left: sideValue(right, params.get("right")), right: leftValue })}
        >
          Swap sides
        </button>
        <Chooser
          label="Right"
          side={right}
          asked={params.get("right")}
          automatic="Now"
          difference={difference}
          choose={(value) => change({ right: value })}
        />
      </div>
      <p className="muted small">
        Left: <SideText side={left} />. Right: <SideText side={right} />.
      </p>
      {masked.length > 0 && (
        <p className="small">
          Not shown in the clear: {masked.map(cellText).join(", ")}. Columns with a mask are
          compared by their masked values, others are left out.
        </p>
      )}
    </>
  );
}

function SideText({ side }: { side: Side }) {
  return (
    <>
      {side.env}, snapshot {side.snapshot}
      {side.at && (
        <>
          , <Time at={side.at} />
        </>
      )}
      , {many(side.partitions, "partition")}
    </>
  );
}

type ChooserProps = {
  label: string;
  side: Side;
  asked: string | null;
  /** What it is without a choice. */
  automatic: string;
  difference: Difference;
  choose: (value: string | null) => void;
};

function Chooser({ label, side, asked, automatic, difference, choose }: ChooserProps) {
  const { snapshots, environments } = difference;
  const { zone = "UTC" } = useZone();
  const listed =
    asked === null ||
    environments.includes(asked) ||
    snapshots.some(({ snapshot }) => String(snapshot) === asked);
  return (
    <label className="side">
      <span className="small">{label}</span>
      <select
        className="input"
        value={asked ?? ""}
        onChange={(event) => choose(event.target.value || null)}
      >
        <option value="">{automatic}</option>
        {!listed && (
          <option value={asked}>
            {/^\d+$/.test(asked) ? `Snapshot ${side.snapshot}` : cellText(asked)}
          </option>
        )}
        {environments.length > 1 && (
          <optgroup label="Environments">
            {environments.map((env) => (
              <option key={env} value={env}>
                {env}
              </option>
            ))}
          </optgroup>
        )}
        <optgroup label="Snapshots">
          {snapshots.map((item) => (
            <option key={item.snapshot} value={String(item.snapshot)}>
              {item.snapshot}: {instantText(new Date(item.at), zone)},{" "}
              {many(item.partitions, "partition")}
            </option>
          ))}
        </optgroup>
      </select>
    </label>
  );
}
