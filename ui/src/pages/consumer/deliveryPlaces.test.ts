import { describe, expect, it } from "vitest";
import { aroundDeadline, clockLabel, columnsOf, waitsOf, type Delivery } from "./deliveryPlaces";

const FRAME = { width: 640, height: 200 };
const HOUR = 3_600;
const ZONE = "Europe/Berlin";

function delivery(day: string, late: number | null, segments: Delivery["segments"] = []): Delivery {
  return {
    interval: day,
    due_at: `${day}T07:00:00+01:00`,
    met_at: null,
    state: late === null ? "due" : late > 0 ? "late" : "met",
    late_seconds: late,
    wait_seconds: segments.length
      ? segments.reduce((total, { seconds }) => total + seconds, 0)
      : null,
    segments,
  };
}

const part = (kind: string, owner: string, seconds: number) => ({
  kind,
  owner,
  awaits_trigger: kind === "schedule" && owner !== "headrace",
  seconds,
});

describe("deliveries around their deadline", () => {
  it("are above it where they are late, on an axis of the time of day", () => {
    // Would catch: late deliveries below the line; an axis whose hours are those of another zone.
    const around = aroundDeadline(
      [delivery("2025-02-10", -3 * HOUR), delivery("2025-02-11", 2 * HOUR)],
      FRAME,
      "day",
      ZONE,
    );
    const [early, late] = around.points;
    expect(late?.y).toBeLessThan(around.deadline);
    expect(early?.y).toBeGreaterThan(around.deadline);
    expect(around.clock).toBe("07:00");
    expect(around.ticks.map(({ label }) => label)).toEqual(["04:00", "06:00", "08:00"]);
  });

  it("that are very late don't flatten the others", () => {
    // Would catch: a week without data, after which all mornings look the same.
    const rows = [...Array(20).keys()].map((at) =>
      delivery(`2025-02-${String(at + 1).padStart(2, "0")}`, -2 * HOUR - at * 60),
    );
    const around = aroundDeadline(
      [...rows, delivery("2025-02-25", 170 * HOUR)],
      FRAME,
      "day",
      ZONE,
    );
    expect(around.points.at(-1)?.beyond).toBe(true);
    expect(around.points[0]?.beyond).toBe(false);
    expect((around.points[0]?.y ?? 0) - around.deadline).toBeGreaterThan(20);
  });

  it("have an axis of distances where deadlines differ, and no place without a time", () => {
    // Would catch: a clock that is right for the first delivery only; a point at zero.
    const around = aroundDeadline(
      [
        delivery("2025-02-10", -3 * HOUR),
        { ...delivery("2025-02-11", null), due_at: "2025-02-11T09:00:00+01:00" },
      ],
      FRAME,
      "day",
      ZONE,
    );
    expect(around.clock).toBeNull();
    expect(around.ticks.every(({ label }) => /^[+−]\d+ (h|min)$/.test(label))).toBe(true);
    expect(around.points[1]).toBeNull();
  });

  it("keep the time of day of their deadline when the clock changes", () => {
    // Would catch: an axis of distances since the day on which summer time began.
    const rows = [
      delivery("2025-03-29", -HOUR),
      { ...delivery("2025-03-31", -HOUR), due_at: "2025-03-31T07:00:00+02:00" },
    ];
    expect(aroundDeadline(rows, FRAME, "day", ZONE).clock).toBe("07:00");
  });

  it("are none on the first day", () => {
    // Would catch: an axis of infinities.
    const around = aroundDeadline([], FRAME, "day", ZONE);
    expect(around.points).toEqual([]);
    expect(around.ticks.every(({ y }) => Number.isFinite(y))).toBe(true);
    expect(columnsOf(0, 300).named).toEqual([]);
  });
});

describe("labels of the time of day", () => {
  it.each([
    [7 * HOUR, "07:00"],
    [27 * HOUR, "03:00 +1"],
    [-HOUR, "23:00 −1"],
    [0, "00:00"],
  ])("name the day before or after: %s", (seconds, label) => {
    expect(clockLabel(seconds)).toBe(label);
  });
});

describe("bars of waits", () => {
  const rows = [
    delivery("2025-02-10", -HOUR, [part("source", "acme", 4 * HOUR), part("run", "core", 600)]),
    delivery("2025-02-11", HOUR, [part("hold", "acme", HOUR), part("retry", "core", 1200)]),
  ];

  it("stack the parts of each wait in the order of the legend", () => {
    // Would catch: parts that overlap, or that leave a gap.
    const { legend, bars, floor } = waitsOf(rows, FRAME, "kind");
    expect(legend.map(({ key }) => key)).toEqual(["source", "people", "work"]);
    for (const { parts } of bars) {
      let upTo = floor;
      for (const { y, height } of parts) {
        expect(y + height).toBeCloseTo(upTo);
        upTo = y;
      }
    }
  });

  it("add up by owner to the same", () => {
    // Would catch: an owner whose time is counted for another one.
    const { legend } = waitsOf(rows, FRAME, "owner");
    expect(legend.map(({ label, seconds }) => [label, seconds])).toEqual([
      ["acme", 5 * HOUR],
      ["core", 1800],
    ]);
  });

  it("name five owners, and count the others together", () => {
    // Would catch: colours that stand for two owners.
    const owners = [...Array(8).keys()].map((at) => part("run", `team-${at}`, 100 + at));
    const { legend } = waitsOf([delivery("2025-02-10", 0, owners)], FRAME, "owner");
    expect(legend.map(({ label }) => label)).toEqual([
      "team-7",
      "team-6",
      "team-5",
      "team-4",
      "team-3",
      "other owners",
    ]);
    expect(legend.at(-1)?.seconds).toBe(303);
  });

  it("say what a reader may not see", () => {
    // Would catch: bars that are shorter than the waits, without a word.
    const hidden = { ...delivery("2025-02-10", 0, [part("run", "core", 600)]), wait_seconds: 6000 };
    const { legend, bars } = waitsOf([hidden], FRAME, "owner");
    expect(legend.at(-1)).toMatchObject({ label: "not shown", seconds: 5400 });
    expect(bars[0]?.parts).toHaveLength(2);
  });

  it("are cut where one is much longer than usual", () => {
    // Would catch: a wait of a week that flattens all others.
    const usual = [...Array(9).keys()].map((at) =>
      delivery(`2025-02-0${at + 1}`, 0, [part("source", "acme", 4 * HOUR)]),
    );
    const long = delivery("2025-02-11", HOUR, [part("source", "acme", 200 * HOUR)]);
    const { bars } = waitsOf([...usual, long], FRAME, "kind");
    expect(bars.map(({ cut }) => cut)).toEqual([...Array<boolean>(9).fill(false), true]);
  });
});
