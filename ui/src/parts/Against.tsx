// Marks around a line: what came before it below, what came after it above; the distance on a scale that shows seconds and days alike.
import { Shape, toneOf, wordOf } from "./State";
import { lasting } from "./Time";
import "./against.css";

/** `seconds` after the line, negative before it, null where nothing came or nothing was expected. */
export type Mark = { key: string; name: string; state: string; seconds: number | null };
type Props = { label: string; line: string; marks: readonly Mark[]; chosen: string | null; choose: (key: string) => void };
const SHOWN_MAX = 60;

/** `marks` are the newest first; they are drawn with the newest at the right. */
export function Against({ label, line, marks, chosen, choose }: Props) {
  const shown = marks.slice(0, SHOWN_MAX).toReversed();
  const farthest = Math.max(...shown.map((one) => scaled(one.seconds ?? 0)), 1);
  const earliest = Math.max(...shown.map((one) => -scaled(one.seconds ?? 0)), 1);
  return (
    <div className="against" role="group" aria-label={label}>
      <p className="muted small">after the {line}</p>
      <div className="marks" style={{ gridTemplateColumns: `repeat(${shown.length}, minmax(14px, 1fr))` }}>
        {shown.map((one) => {
          const late = scaled(one.seconds ?? 0);
          const height = late > 0 ? 50 - (late / farthest) * 42 : 50 + (-late / earliest) * 42;
          const said = `${one.name}: ${wordOf(one.state)}${one.seconds === null ? "" : one.seconds > 0 ? `, ${lasting(one.seconds)} after the ${line}` : `, ${lasting(-one.seconds)} before it`}`;
          return (
            <button key={one.key} type="button" className={`mark tone-${toneOf(one.state)}`} aria-label={said} title={said} aria-pressed={one.key === chosen} onClick={() => choose(one.key)}>
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
