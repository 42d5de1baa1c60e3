import { describe, expect, it } from "vitest";
import { eventsOf, kindsOf, pageOf, pointsOf, type Document, type Row } from "./findings";

const row = (kind: string, node: string) => ({ kind, node }) as Row;
const trend = [
  { version: 3, counts: { unread_asset: 1 } },
  { version: 4, counts: { unread_asset: 3, dead_check: 1 } },
  { version: 5, counts: { unread_asset: 3 } },
  { version: 6, counts: { unread_asset: 3 } },
];
const document = { trend } as unknown as Document;

describe("what a project could do without", () => {
  it("stands in lists by kind, also of a kind that is new", () => {
    // Would catch: findings of a newer server that vanish from the page.
    const kinds = kindsOf([row("new_kind", "a"), row("dead_check", "b.c"), row("new_kind", "d")]);
    expect(kinds.map(({ title, rows }) => [title, rows.length])).toEqual([
      ["Dead checks", 1],
      ["new kind", 2],
    ]);
  });

  it("has a trend with the version that moved it", () => {
    // Would catch: a first version that seems to have added everything, and changes that cancel out.
    expect(pointsOf(document).map(({ value }) => value)).toEqual([1, 4, 3, 3]);
    expect(eventsOf(document)).toEqual([
      { name: "4", text: "unread assets +2, dead checks +1" },
      { name: "5", text: "dead checks −1" },
    ]);
  });

  it.each([
    [row("unread_asset", "a/b"), "/assets/a%2Fb"],
    [row("unread_column", "a.b"), "/assets/a?part=columns"],
    [row("dead_check", "a.b"), "/assets/a?part=checks"],
    [row("no_contact", "ana"), null],
    [row("unused_macro", "macros/m.sql"), null],
  ])("leads to the page of its node", (finding, page) => {
    expect(pageOf(finding)).toBe(page);
  });
});
