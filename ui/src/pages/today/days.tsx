// The last days of consumers, as a column of their table.
import type { Schema } from "../../api/client";
import { DayStrip } from "../../parts/DayStrip";
import { dayLabel } from "../../parts/serviceDays";
import type { Column } from "../../parts/Table";
import { many } from "../../parts/words";

const STEP = 8;
const HEIGHT = 20;

/** The days of each consumer, the newest at the right. */
export function daysColumn({
  dates,
  consumers,
}: Schema["TodayResponse"]): Column<Schema["ConsumerRow"]> {
  const known = new Map(consumers.map((row) => [row.consumer, row]));
  return {
    name: `Last ${many(dates.length, "day")}`,
    cell: ({ name }) => {
      const row = known.get(name);
      if (!row) return null;
      const days = dates.map((date, index) => ({ date, state: row.states[index] ?? null }));
      return (
        <DayStrip
          label={`Days of ${name}`}
          days={days}
          step={STEP}
          height={HEIGHT}
          textOf={(day) => {
            const lost = row.lost_minutes[dates.indexOf(day.date)];
            return lost ? `${dayLabel(day)}, ${many(lost, "minute")} lost` : dayLabel(day);
          }}
        />
      );
    },
  };
}
