// Marks around a line: what came before it below, what came after it above; the distance on a scale that shows seconds and days alike.
import { useLayoutEffect, useRef } from "react";
import { Shape, toneOf, labelOf } from "./State";
import { formatDuration } from "./durations";
import "./deviation.css";

/** `seconds` after the line, negative before it, null where nothing came or nothing was expected. */
export type Mark = { key: string; name: string; state: string; seconds: number | null };
type Props = {
  label: string;
  line: string;
  marks: readonly Mark[];
  chosen: string | null;
  choose: (key: string) => void;
};
const SHOWN_MAX = 60;

/** `marks` are the newest first; they are drawn with the newest at the right, which is what is in sight where they are too many. */
export function DeviationChart({ label, line, marks, chosen, choose }: Props) {
  const drawn = marks.slice(0, SHOWN_MAX).toReversed();
  const latest = Math.max(...drawn.map((row) => row.seconds ?? 0), 60);
  const soonest = Math.max(...drawn.map((row) => -(row.seconds ?? 0)), 60);
  const scrollerRef = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (scrollerRef.current) scrollerRef.current.scrollLeft = scrollerRef.current.scrollWidth;
  }, [drawn.length]);
  return (
    <div className="against" role="group" aria-label={label}>
      <div className="scale muted small" aria-hidden="true">
        <span>{formatDuration(latest)} after</span>
        <span>{line}</span>
        <span>{formatDuration(soonest)} before</span>
      </div>
      <div className="plot" ref={scrollerRef}>
        <div className="drawn">
          <div
            className="marks"
            style={{ gridTemplateColumns: `repeat(${drawn.length}, minmax(24px, 1fr))` }}
          >
            {drawn.map((row) => (
              <Point
                key={row.key}
                mark={row}
                line={line}
                latest={latest}
                soonest={soonest}
                chosen={row.key === chosen}
                choose={choose}
              />
            ))}
          </div>
          <Dates marks={drawn} />
        </div>
      </div>
    </div>
  );
}

type PointProps = {
  mark: Mark;
  line: string;
  latest: number;
  soonest: number;
  chosen: boolean;
  choose: (key: string) => void;
};

function Point({ mark, line, latest, soonest, chosen, choose }: PointProps) {
  const late = scaled(mark.seconds ?? 0);
  const height = late > 0 ? 50 - (late / scaled(latest)) * 42 : 50 + (-late / scaled(soonest)) * 42;
  const label = `${mark.name}: ${labelOf(mark.state)}${distance(mark.seconds, line)}`;
  const tone = toneOf(mark.state);
  return (
    <button
      type="button"
      className={`mark tone-${tone}`}
      aria-label={label}
      title={label}
      aria-pressed={chosen}
      onClick={() => choose(mark.key)}
    >
      <span
        className="stem"
        style={{ top: `${Math.min(height, 50)}%`, height: `${Math.abs(height - 50)}%` }}
      />
      <span className="point" style={{ top: `${height}%` }}>
        <Shape of={tone} state={mark.state} size={12} />
      </span>
    </button>
  );
}

function distance(seconds: number | null, line: string): string {
  if (seconds === null) return "";
  return seconds > 0
    ? `, ${formatDuration(seconds)} after the ${line}`
    : `, ${formatDuration(-seconds)} before it`;
}

/** The first, the middle and the last of what is drawn. */
function Dates({ marks }: { marks: readonly Mark[] }) {
  const named = [marks[0], marks[marks.length >> 1], marks.at(-1)];
  const names = [...new Set(named.flatMap((row) => (row ? [row.name] : [])))];
  return (
    <div className="dates muted small mono" aria-hidden="true">
      {names.map((name) => (
        <span key={name}>{name}</span>
      ))}
    </div>
  );
}

/** Signed logarithm of minutes. */
function scaled(seconds: number): number {
  return Math.sign(seconds) * Math.log1p(Math.abs(seconds) / 60);
}
