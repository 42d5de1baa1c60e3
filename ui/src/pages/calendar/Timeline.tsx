// The simulated night by the hour. A delivery is dragged to a later time; nothing is changed by it.
import { useId } from "react";
import { Link } from "react-router";
import { addressOf } from "../../parts/addresses";
import { TimeOfDay } from "../../parts/Time";
import { clockText } from "../../parts/times";
import { many } from "../../parts/words";
import { useZone } from "../../parts/zone";
import { dayText, type Document, type Row } from "./days";
import { AXIS_STEP_MINUTES, hoursOf, laterBy, minutesAt, type Hours, type Lane } from "./timeline";
import { MINUTES_MAX, laterThanUsual, type Simulated } from "./tonight";
import { useDrag } from "./useDrag";
import type { Night } from "./useNight";
import "./timeline.css";

type Delivered = Simulated["consumers"][string];

export function Timeline({ document, night }: { document: Document; night: Night }) {
  const helpId = useId();
  const { simulated } = night;
  const hours = hoursOf(document, simulated);
  if (!hours.deliveries.length) return null;
  return (
    <div>
      <p id={helpId} className="muted small">
        {dayText(hours.date, true)} by the hour, {document.timezone}. A delivery is at the time that
        its owner promised. Drag it, or press the arrow keys, to simulate that its source delivers
        so much later than it usually does; that can be before the time shown. Escape puts it back.{" "}
        <strong>What if: nothing is changed.</strong>
      </p>
      <ol className="night" aria-label="Tonight by the hour">
        <Axis hours={hours} />
        {hours.deliveries.map((lane) => (
          <DeliveryLane
            key={lane.row.node}
            lane={lane}
            hours={hours}
            minutes={night.delays[lane.row.node] ?? 0}
            change={(minutes) => night.delay(lane.row.node, minutes)}
            help={helpId}
          />
        ))}
        {hours.deadlines.map((lane) => (
          <DeadlineLane
            key={lane.row.node}
            lane={lane}
            hours={hours}
            delivered={simulated?.consumers[lane.row.node]}
          />
        ))}
      </ol>
      {hours.left > 0 && (
        <p className="muted small">
          {many(hours.left, "more delivery or deadline", "more deliveries and deadlines")} of the
          night: sources can be chosen, and deadlines are listed, below.
        </p>
      )}
    </div>
  );
}

const leftOf = (minute: number, hours: Hours) => ({ left: `${(100 * minute) / hours.length}%` });

function Axis({ hours }: { hours: Hours }) {
  const steps = Array.from({ length: hours.length / AXIS_STEP_MINUTES }, (_, step) => step);
  return (
    <li className="night-axis" aria-hidden="true">
      <span />
      <span className="night-track">
        {steps.map((step) => (
          <span key={step} style={leftOf(step * AXIS_STEP_MINUTES, hours)}>
            {axisText(step * AXIS_STEP_MINUTES, hours.date)}
          </span>
        ))}
      </span>
    </li>
  );
}

/** 06:00, or the day where one begins. */
function axisText(minute: number, date: string): string {
  const at = new Date(Date.parse(`${date}T00:00Z`) + minute * 60_000).toISOString();
  return at.slice(11, 16) === "00:00" ? dayText(at.slice(0, 10), false) : at.slice(11, 16);
}

function DeliveryLane({
  lane: { row, minute },
  hours,
  minutes,
  change,
  help,
}: {
  lane: Lane;
  hours: Hours;
  minutes: number;
  change: (minutes: number) => void;
  help: string;
}) {
  const { zone } = useZone();
  const { moved, dragging, handlers } = useDrag(minutes, hours.length, change);
  const promised = clockText(row.first_at, zone ?? "UTC", row.date);
  const later = moved > 0 ? laterThanUsual(moved) : "";
  const last = minutesAt(row.last_at, hours.date) - minute;
  return (
    <li className="night-delivery">
      <span className="night-label">
        <Link to={addressOf("source", row.node)}>{row.node}</Link> promised{" "}
        <TimeOfDay at={row.first_at} date={row.date} />
        {row.times > 1 && <span className="muted"> × {row.times}</span>}
        {later && (
          <>
            , <strong>{later}</strong>
          </>
        )}
      </span>
      <span className="night-track">
        {moved > 0 && <span className="night-before" style={leftOf(minute, hours)} />}
        {last > 0 && (
          <span
            className="night-times"
            style={{ ...leftOf(minute + moved, hours), width: `${(100 * last) / hours.length}%` }}
          />
        )}
        <span
          role="slider"
          tabIndex={0}
          className={dragging ? "night-handle dragging" : "night-handle"}
          style={leftOf(minute + moved, hours)}
          aria-label={`Delivery of ${row.node}`}
          aria-describedby={help}
          aria-orientation="horizontal"
          aria-valuemin={0}
          aria-valuemax={MINUTES_MAX}
          aria-valuenow={moved}
          aria-valuetext={`${later || "as usual"}; promised ${promised}`}
          {...handlers}
        />
      </span>
    </li>
  );
}

function DeadlineLane({
  lane: { row, minute },
  hours,
  delivered,
}: {
  lane: Lane;
  hours: Hours;
  delivered: Delivered | undefined;
}) {
  const before = instantOf(row, delivered?.now?.p50);
  const then = instantOf(row, delivered?.then.p50);
  const late = then !== null && Date.parse(then) > Date.parse(row.first_at);
  const marks = [
    ...(before !== null ? [{ name: "night-before", at: before }] : []),
    ...(then !== null ? [{ name: late ? "night-then late" : "night-then", at: then }] : []),
  ];
  return (
    <li>
      <span className="night-label">
        <Link to={addressOf("consumer", row.node)}>{row.node}</Link> due{" "}
        <TimeOfDay at={row.first_at} date={row.date} />
        {then !== null && <Predicted before={before} then={then} row={row} late={late} />}
        {delivered?.then.kept != null && then === null && (
          <>
            , <strong className="tone-bad">fewer than half delivered</strong>
          </>
        )}
      </span>
      <span className="night-track" aria-hidden="true">
        <span className="night-due" style={leftOf(minute, hours)} />
        {marks.map(({ name, at }) => (
          <span
            key={name}
            className={name}
            style={leftOf(Math.min(minute + minutesBetween(row.first_at, at), hours.length), hours)}
          />
        ))}
      </span>
    </li>
  );
}

function Predicted({
  before,
  then,
  row,
  late,
}: {
  before: string | null;
  then: string;
  row: Row;
  late: boolean;
}) {
  const same = before === null || Math.abs(minutesBetween(before, then)) < 1;
  return (
    <>
      , typically by{" "}
      {!same && (
        <>
          <TimeOfDay at={before} date={row.date} /> →{" "}
        </>
      )}
      <TimeOfDay at={then} date={row.date} />
      {late && <strong className="tone-bad"> late</strong>}
    </>
  );
}

const minutesBetween = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 60_000;

function instantOf(row: Row, seconds: number | null | undefined): string | null {
  return row.ends_at === null || seconds == null ? null : laterBy(row.ends_at, seconds / 60);
}
