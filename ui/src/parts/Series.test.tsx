import { expect, it } from "vitest";
import { renderAt } from "../testing/render";
import { Series } from "./Series";

const LETTER_WIDTH = 6;

it("shows the whole text of what happened at the last point", () => {
  // Would catch: a text in the middle of the right edge, of which only the first half is seen.
  const points = ["1", "2"].map((name) => ({ name, value: 1, marked: false }));
  const text = "assets without checks +1, unread assets +1";
  const { container } = renderAt(
    "/",
    <Series
      label="Findings"
      quantity="Findings"
      across="Version"
      points={points}
      format={String}
      events={[{ name: "2", text }]}
    />,
  );
  const width = Number(container.querySelector(".series svg")?.getAttribute("width"));
  const at = Number(container.querySelector(".event text")?.getAttribute("x"));
  expect(at).toBeGreaterThan(0);
  expect(at + (text.length * LETTER_WIDTH) / 2).toBeLessThanOrEqual(width);
});
