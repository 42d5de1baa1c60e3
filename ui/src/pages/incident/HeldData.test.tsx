import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { beforeEach, expect, it } from "vitest";
import { queries } from "../../api/responses";
import type { Schema } from "../../api/client";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Rivals } from "../../parts/Rivals";
import { HeldData } from "./HeldData";

const server = serverOfTests();
beforeEach(() => queries.clear());

const CHANGE = { policy: "block", used_by: ["report"], takes: null };
const incident = (kind: string) =>
  ({
    state: "open",
    cause: { node: "orders", partition: "2025-03-03", kind },
  }) as unknown as Schema["IncidentRow"];
const answer = () => {
  server().answer("/api/v1/status", { body: { now: "2025-03-05T09:00:00Z", timezone: "UTC" } });
  server().answer("/api/v1/contract/orders%402025-03-03/diff", {
    body: {
      changes: [
        {
          ...CHANGE,
          kind: "renamed",
          column: "amount",
          to: "total",
          score: "0.2900",
          rivals: [
            { column: "total_net", score: 0.12, why: "12% of the values are the same" },
            { column: "<i>x</i>", score: 0.001, why: null },
          ],
          evidence: ["5 % of the values are the same"],
        },
        {
          ...CHANGE,
          kind: "added",
          column: "note",
          to: null,
          score: null,
          rivals: null,
          evidence: [],
          takes: "minor",
        },
      ],
    },
  });
  server().answer("/api/v1/quarantine", {
    body: [
      {
        ...{ attempt: "1.4", state: "held", reason: "amount is renamed", checks: [] },
        sample: [{ total: "<b>12</b>" }, { total: "<b>12</b>" }, { total: "7" }],
      },
    ],
  });
};

it("shows a renamed column beside its proposal, with values of the delivery", async () => {
  // Would catch: a reader who has to open the repair to see why two names are taken for the same,
  // and the quarantine to see what is in the column; a saved contract's changes among them.
  answer();
  renderAt("/", <HeldData row={incident("schema_change")} />);
  const table = await screen.findByRole("region", { name: "Changed columns" });
  await within(table).findByText("<b>12</b>");
  expect(within(table).getAllByRole("row")).toHaveLength(2);
  for (const text of ["renamed", "amount", "total", "7", "29 %", "5 % of the values are the same"])
    expect(within(table).getByText(text)).toBeInTheDocument();
  const rivals = within(table).getAllByRole("listitem");
  expect(rivals.map((item) => item.textContent)).toEqual([
    "total_net 12 %: 12% of the values are the same",
    "<i>x</i> < 1 %",
  ]);
});

it("says that no column came close only where columns were compared", () => {
  // Would catch: the sentence over an incident that was stored before rivals were kept.
  const { container, rerender } = render(<Rivals rows={null} />);
  expect(container).toBeEmptyDOMElement();
  rerender(<Rivals rows={[]} />);
  expect(container).toHaveTextContent("No other new column came close.");
});

it("shows the held rows of other causes, and leads to their partition", async () => {
  // Would catch: an anomaly whose rows have to be looked for on another page.
  answer();
  renderAt("/", <HeldData row={incident("volume_anomaly")} />);
  const panel = await screen.findByRole("region", { name: "Held data" });
  expect(within(panel).getByText("Sample rows (3)")).toBeInTheDocument();
  expect(within(panel).getByRole("link")).toHaveAttribute(
    "href",
    "/assets/orders?part=partitions&partition=2025-03-03",
  );
  expect(screen.queryByRole("region", { name: "Changed columns" })).toBeNull();
});

it("shows nothing of the incident that was on the page before", async () => {
  // Would catch: the rows and columns of another incident under the heading of this one.
  answer();
  const resolved = { ...incident("late"), state: "resolved" };
  function Pages() {
    const [row, setRow] = useState<Schema["IncidentRow"]>(() => incident("schema_change"));
    return (
      <>
        <button type="button" onClick={() => setRow(resolved)}>
          another
        </button>
        <HeldData row={row} />
      </>
    );
  }
  renderAt("/", <Pages />);
  await screen.findByRole("region", { name: "Changed columns" });
  await screen.findByRole("region", { name: "Held data" });
  await userEvent.click(screen.getByRole("button", { name: "another" }));
  expect(screen.queryByRole("region")).toBeNull();
});
