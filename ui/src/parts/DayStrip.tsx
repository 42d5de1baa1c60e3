// How a consumer was served, a bar for each day: the worse, the higher, and the colour says it again.
import { useState } from "react";
import { dayLabel, daysText, type DayState } from "./serviceDays";
import "./strip.css";

type Props = {
  label: string;
  /** The oldest first. */
  days: readonly DayState[];
  /** The pixels of a day. */
  step: number;
  height: number;
  /** The text of a day; without it, its date and its state. */
  textOf?: (day: DayState) => string;
  choose?: (date: string) => void;
};
const HEIGHTS: Record<string, number> = {
  served: 0.35,
  excepted: 0.5,
  unknown: 0.65,
  late: 0.8,
  never: 0.8,
  wrong: 1,
};

export function DayStrip({ label, days, step, height, textOf = dayLabel, choose }: Props) {
  const [hovered, setHovered] = useState<number | null>(null);
  const indexAt = (event: React.PointerEvent<SVGSVGElement> | React.MouseEvent<SVGSVGElement>) => {
    const { left } = event.currentTarget.getBoundingClientRect();
    return Math.min(Math.max(Math.floor((event.clientX - left) / step), 0), days.length - 1);
  };
  const day = hovered === null ? undefined : days[hovered];
  return (
    <svg
      className={choose ? "strip opens" : "strip"}
      width={days.length * step}
      height={height}
      role="img"
      aria-label={`${label}: ${daysText(days)}`}
      onPointerMove={(event) => setHovered(indexAt(event))}
      onPointerLeave={() => setHovered(null)}
      onClick={(event) => {
        const clicked = days[indexAt(event)];
        if (clicked) choose?.(clicked.date);
      }}
    >
      {day && <title>{textOf(day)}</title>}
      {days.map(({ date, state }, index) => {
        const high = height * (HEIGHTS[state ?? ""] ?? 0.1);
        const gap = step > 5 ? 2 : 1;
        return (
          <rect
            key={date}
            className={`day ${state ?? "nothing"}`}
            x={index * step + gap / 2}
            width={step - gap}
            y={height - high}
            height={high}
          />
        );
      })}
    </svg>
  );
}
