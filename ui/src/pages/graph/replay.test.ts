import { describe, expect, it } from "vitest";
import type { Schema } from "../../api/client";
import {
  after,
  appliedBetween,
  isoOf,
  neighbourOf,
  replayed,
  stopsOf,
  withoutMatches,
  type Changes,
} from "./replay";

const BASE = "2025-03-04T00:00:00Z";
const at = (minute: number) => `2025-03-04T00:${`${minute}`.padStart(2, "0")}:00.250500Z`;
const card = (id: string, values: Partial<Schema["CardView"]> = {}) =>
  ({
    ...{ id, name: id.split(":").at(-1), kind: id.split(":")[0], count: 1, states: [] },
    ...values,
  }) as Schema["CardView"];
const view = (cards: Schema["CardView"][], by: string | null = null) =>
  ({ at: BASE, now: BASE, by, cards, edges: [] }) as unknown as Schema["GraphView"];
const changes = (
  ...rows: [minute: number, node: string, was: string, state: string][]
): Changes => ({
  from: BASE,
  to: at(59),
  more: false,
  applied: [{ at: at(9), version: 2 }],
  changes: rows.map(([minute, node, was, state]) => ({
    at: at(minute),
    node,
    was,
    state,
    group: "sales",
  })),
});

const NIGHT = changes(
  [1, "daily", "published", "running"],
  [2, "daily", "running", "failed"],
  [2, "other", "never", "running"],
  [5, "daily", "failed", "published"],
);

describe("a replayed view", () => {
  it("has the states of its time, and nothing that isn't replayed", () => {
    // Would catch: a card that keeps the incident of another time, a change of the future.
    const base = view([
      card("asset:daily", { state: "published", worst: "published", incident: "INC-1" }),
    ]);
    const states = [0, 1, 2, 5].map(
      (minute) => replayed(base, NIGHT, after(at(minute))).cards[0]?.worst,
    );
    expect(states).toEqual(["published", "running", "failed", "published"]);
    const shown = replayed(base, NIGHT, after(at(2)));
    expect([shown.at, shown.cards[0]?.incident]).toEqual(["2025-03-04T00:02:00.251Z", null]);
    expect(base.cards[0]?.worst).toBe("published");
  });

  it("counts states on groups, and says no state where nodes can't be told", () => {
    // Would catch: a group that stays green while a node in it fails.
    const group = card("domain:sales", {
      count: 2,
      worst: "never",
      states: [
        { value: "published", count: 1 },
        { value: "never", count: 1 },
      ],
    });
    const rest = card("more:up:ops", { kind: "more", worst: "failed" });
    const [sales, ops] = replayed(view([group, rest], "domain"), NIGHT, after(at(2))).cards;
    expect(sales?.worst).toBe("failed");
    expect(sales?.states).toEqual([
      { value: "failed", count: 1 },
      { value: "running", count: 1 },
    ]);
    expect(ops?.worst).toBe("not_replayed");
  });
});

describe("a replayed view of a focus", () => {
  it("says no state of the nodes that have no room", () => {
    // Would catch: "40 published" all night, although 30 of them fail.
    const rest = card("more:down:", { kind: "more", worst: "published" });
    expect(replayed(view([rest]), NIGHT, after(at(2))).cards[0]?.worst).toBe("not_replayed");
    expect(replayed(view([rest], "domain"), NIGHT, after(at(0))).cards[0]?.worst).toBe("published");
  });

  it("doesn't say which nodes match a state that they had before", () => {
    const shown = withoutMatches({ ...view([card("asset:daily", { matching: 1 })]), matching: 1 });
    expect([shown?.matching, shown?.cards[0]?.matching]).toEqual([null, null]);
  });
});

describe("stops", () => {
  it("are the times of changes and applies, each once", () => {
    // Would catch: a key that stays at one time because two nodes changed then.
    const [one, two, five, nine] = [1, 2, 5, 9].map((minute) => after(at(minute))) as [
      number,
      number,
      number,
      number,
    ];
    const stops = stopsOf(NIGHT);
    expect(stops).toEqual([one, two, five, nine]);
    expect(isoOf(two)).toBe("2025-03-04T00:02:00.251Z");
    expect(neighbourOf(stops, two, 1)).toBe(five);
    expect(neighbourOf(stops, two, -1)).toBe(one);
    expect(neighbourOf(stops, nine, 1)).toBe(nine);
    expect(stopsOf(undefined)).toEqual([]);
    expect(appliedBetween(NIGHT, one, five)).toBeUndefined();
    expect(appliedBetween(NIGHT, five, nine)).toBe(nine);
  });
});
