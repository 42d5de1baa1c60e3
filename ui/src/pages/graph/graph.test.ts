import ELK from "elkjs/lib/elk.bundled.js";
import { describe, expect, it } from "vitest";
import { descriptionOf, detailOf, nameOf, pageOf, targetOf, type Card } from "./card";
import { CARD, layout, neighbour } from "./layout";
import { pictureOf } from "./picture";

const card = (values: Partial<Card>): Card =>
  ({
    id: "a",
    name: "a",
    kind: "asset",
    count: 1,
    worst: "fresh",
    states: [],
    incident: null,
    paused: false,
    quarantined: false,
    data_through: null,
    steps: 0,
    hidden_above: 0,
    hidden_below: 0,
    ...values,
  }) as Card;

describe("a card", () => {
  it("of a node opens what is around it, of a group its nodes, of the others the catalog", () => {
    // Would catch: a name with & or # that opens something else.
    expect(targetOf(card({ name: "a&b#c" }))).toBe("/graph?mode=focus&root=a%26b%23c");
    expect(
      targetOf(card({ kind: "domain", name: "sales & more" }), {
        open: ["ops"],
        filters: { owner: "a b" },
      }),
    ).toBe("/graph?by=domain&open=ops&open=sales+%26+more&owner=a+b");
    expect(targetOf(card({ kind: "more", name: "sales & more" }))).toBe(
      "/assets?domain=sales+%26+more",
    );
    expect(pageOf(card({ kind: "source", name: "a/b" }))).toBe("/sources/a%2Fb");
  });

  it("says what is hidden beside it, and why it is as it is", () => {
    const row = card({
      incident: "INC-1",
      paused: true,
      data_through: "2025-03-03",
      hidden_above: 1,
    });
    expect(detailOf(row)).toBe("INC-1 · paused · through 2025-03-03");
    expect(detailOf(card({ incident: "INC-1", cause: true }))).toBe("cause of INC-1");
    expect(descriptionOf(row)).toBe(
      "a, fresh, INC-1 · paused · through 2025-03-03, 1 neighbour not shown",
    );
  });

  it("of a group counts the states in it", () => {
    const states = [
      { value: "at_risk", count: 2 },
      { value: "fresh", count: 1 },
    ];
    const row = card({ kind: "more", name: "", count: 3, states });
    expect([nameOf(row), detailOf(row)]).toEqual([
      "3 more in without a domain",
      "2 at risk, 1 fresh",
    ]);
  });
});

describe("the layout", () => {
  const engine = new ELK();
  const view = (ids: string[], edges: [string, string][]) => ({
    cards: ids.map((id) => ({ id })),
    edges: edges.map(([from, to]) => ({ from, to })),
  });
  const EDGES: [string, string][] = [
    ["source", "clean"],
    ["clean", "report"],
    ["clean", "other"],
  ];

  it("goes from left to right, and no card lies on another", async () => {
    const places = await layout(view(["report", "source", "clean", "other"], EDGES), engine);
    const at = (id: string) => places.get(id) ?? { x: NaN, y: NaN };
    expect(at("source").x + CARD.width).toBeLessThan(at("clean").x);
    expect(at("clean").x + CARD.width).toBeLessThan(at("report").x);
    expect(Math.abs(at("report").y - at("other").y)).toBeGreaterThanOrEqual(CARD.height);
  });

  it("is the same for the same cards in another order", async () => {
    // Would catch: cards that jump whenever a document is fetched again.
    const ids = ["report", "source", "clean", "other"];
    const places = await layout(view(ids, EDGES), engine);
    expect(await layout(view(ids.toReversed(), EDGES), engine)).toEqual(places);
  });

  it("stands in rows where nearly everything reads everything", async () => {
    // Would catch: a view of groups that is one row of cards, thirteen times as wide as a card.
    const ids = Array.from({ length: 13 }, (_, at) => `d${at}`);
    const all = ids.flatMap((from) =>
      ids.filter((to) => to !== from).map((to): [string, string] => [from, to]),
    );
    const places = [...(await layout(view(ids, all), engine)).values()];
    expect(Math.max(...places.map(({ x }) => x))).toBeLessThan(5 * CARD.width);
    expect(new Set(places.map(({ x, y }) => `${x} ${y}`)).size).toBe(13);
  });

  it("of nothing is nothing", async () => {
    expect((await layout(view([], []), engine)).size).toBe(0);
  });
});

describe("an arrow key", () => {
  const positions = new Map([
    ["a", { x: 0, y: 0, ...CARD }],
    ["b", { x: 300, y: 0, ...CARD }],
    ["c", { x: 300, y: 200, ...CARD }],
    ["d", { x: 300, y: 400, ...CARD }],
  ]);
  const edges = [
    { from: "a", to: "c" },
    { from: "a", to: "b" },
  ];

  it("follows the nearest edge, or stays in the column", () => {
    // Would catch: a graph that keys can't walk, or a step to a card that no edge leads to.
    const steps = { ArrowRight: "b", ArrowLeft: null, ArrowDown: null, Enter: null };
    for (const [key, to] of Object.entries(steps))
      expect(neighbour(key, "a", edges, positions)).toBe(to);
    expect(neighbour("ArrowLeft", "c", edges, positions)).toBe("a");
    expect(neighbour("ArrowDown", "b", edges, positions)).toBe("c");
    expect(neighbour("ArrowUp", "d", edges, positions)).toBe("c");
    expect(neighbour("ArrowUp", "nowhere", edges, positions)).toBe(null);
  });
});

describe("a picture", () => {
  const view = (cards: Card[]) => ({ now: "2026-03-01T07:00:00Z", cards, edges: [] }) as never;
  const colours = {
    ground: "#fff",
    surface: "#fff",
    line: "#ccc",
    text: "#000",
    muted: "#555",
    tones: {},
  };

  it("is well-formed and holds names as words, whatever they are", () => {
    // Would catch: a picture that runs what a name says where somebody opens it.
    const name = `</text><script>alert(1)</script>&"\u0000\uD800`;
    const { svg } = pictureOf(
      view([card({ id: "asset:a", name })]),
      new Map([["asset:a", { x: 0, y: 0, ...CARD }]]),
      colours,
    );
    const read = new DOMParser().parseFromString(svg, "image/svg+xml");
    expect(read.querySelector("parsererror, script")).toBeNull();
    expect(read.querySelector("text")?.textContent).toMatch(/^<\/text><script>/);
  });

  it("holds all cards, not only those in the window", () => {
    // Would catch: cards cut off at the border.
    const cards = [card({ id: "a", name: "first" }), card({ id: "b", name: "last" })];
    const places = new Map([
      ["a", { x: 0, y: 0, ...CARD }],
      ["b", { x: 4000, y: -900, ...CARD }],
    ]);
    const { svg, width, height } = pictureOf(view(cards), places, colours);
    expect(width).toBeGreaterThan(4000 + CARD.width);
    expect(height).toBeGreaterThan(900 + CARD.height);
    expect(svg).toContain(`viewBox="-24 -924 ${width} ${height}"`);
    expect(svg).toContain(">last</text>");
  });
});
