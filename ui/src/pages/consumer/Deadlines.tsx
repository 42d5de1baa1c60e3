// Deliveries as marks around their deadline: before it below the line, after it above; the distance on a scale that shows seconds and days alike.
import type { Schema } from "../../api/client";
import { Shape, toneOf, wordOf } from "../../parts/State";
import { lasting } from "../../parts/Time";
import "./deadlines.css";

type Props = { deliveries: readonly Schema["ServedInterval"][]; chosen: string | null; choose: (interval: string) => void };
const SHOWN_MAX = 60;

export function Deadlines({ deliveries, chosen, choose }: Props) {
  const shown = deliveries.slice(0, SHOWN_MAX).toReversed();
  const farthest = Math.max(...shown.map((one) => scaled(one.late_seconds ?? 0)), 1);
  const earliest = Math.max(...shown.map((one) => -scaled(one.late_seconds ?? 0)), 1);
  return (
    <div className="deadlines" role="group" aria-label="Deliveries against the deadline">
      <p className="muted small">after the deadline</p>
      <div className="marks" style={{ gridTemplateColumns: `repeat(${shown.length}, minmax(14px, 1fr))` }}>
        {shown.map((one) => {
          const late = scaled(one.late_seconds ?? 0);
          const height = late > 0 ? 50 - (late / farthest) * 42 : 50 + (-late / earliest) * 42;
          const said = `${one.interval}: ${wordOf(one.state)}${one.late_seconds === null ? "" : one.late_seconds > 0 ? `, ${lasting(one.late_seconds)} after the deadline` : `, ${lasting(-one.late_seconds)} before it`}`;
          return (
            <button key={one.interval} type="button" className={`mark tone-${toneOf(one.state)}`} aria-label={said} title={said} aria-pressed={one.interval === chosen} onClick={() => choose(one.interval)}>
              <span className="stem" style={{ top: `${Math.min(height, 50)}%`, height: `${Math.abs(height - 50)}%` }} />
              <span className="point" style={{ top: `${height}%` }}><Shape of={toneOf(one.state)} state={one.state} size={12} /></span>
            </button>
          );
        })}
      </div>
      <p className="muted small">before it</p>
    </div>
  );
}

/** Signed logarithm of minutes. */
function scaled(seconds: number): number {
  return Math.sign(seconds) * Math.log1p(Math.abs(seconds) / 60);
}
