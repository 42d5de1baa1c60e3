import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Approval } from "./Approval";
import { Approvals } from "./Approvals";

const server = serverOfTests();

const OPEN = {
  id: "A1",
  plan_id: "p-0123456789abcdef",
  kind: "apply",
  asked_by: "ana",
  reason: "<b>the desk starts later</b>",
  asked_at: "2026-03-04T08:00:00Z",
  expires_at: "2026-03-11T08:00:00Z",
  rule: "headrace.toml:9 rule 'promises': weakens",
  needs: [
    { role: "owner", of: "affected", count: 1, given: 0, owners: ["finance"], text: "an owner" },
  ],
  given: [],
  state: "open",
  state_reason: "",
  consequence: {
    rows: 3,
    partitions: 2,
    consumers: ["desk"],
    domains: ["finance"],
    crossing: [],
    weakens: ["desk: due: by 07:00 → by 09:00"],
    breaks: [],
    classified: [],
    contracts: [],
    cost: null,
    seconds: null,
  },
  next: "headrace approve A1 --reason TEXT",
};

describe("the page of one approval", () => {
  it("asks for its plan with the link of the message, and answers through it", async () => {
    // Would catch: a page that answers by being opened, and an answer without the link.
    server().answer("/api/v1/approvals/A1", { body: OPEN });
    renderAt("/approvals/A1?link=Ym8.xyz", <Approval />, "/approvals/:plan");
    await userEvent.click(await screen.findByRole("button", { name: "Approve…" }));
    await userEvent.type(await screen.findByLabelText(/Why/), "agreed");
    expect(screen.getByRole("button", { name: "Approve it" })).toBeEnabled();
    const first = server().received.find(({ path }) => path.startsWith("/api/v1/approvals/"));
    expect(first?.query.get("link")).toBe("Ym8.xyz");
    expect(server().received.every((item) => item.method === "GET")).toBe(true);
  });
});

describe("the page of approvals", () => {
  it("shows what a plan comes to, and asks for a reason before an answer", async () => {
    // Would catch: a hidden consequence, a reason taken for HTML, an answer without a reason.
    server().answer("/api/v1/approvals", { body: [OPEN] });
    renderAt("/approvals", <Approvals />);
    expect(await screen.findByText(/<b>the desk starts later<\/b>/)).toBeVisible();
    expect(screen.getByText("desk: due: by 07:00 → by 09:00")).toBeVisible();
    expect(screen.getByText("2 partitions, 3 published rows")).toBeVisible();
    await userEvent.click(screen.getByRole("button", { name: "Approve…" }));
    const button = await screen.findByRole("button", { name: "Approve it" });
    expect(button).toBeDisabled();
    await userEvent.type(screen.getByLabelText(/Why/), "agreed");
    expect(button).toBeEnabled();
  });

  it("offers no answer to a plan that is void, and says why", async () => {
    // Would catch: a button for a plan that nobody can approve any more.
    server().answer("/api/v1/approvals", {
      body: [{ ...OPEN, state: "void", state_reason: "a changed plan was asked for: A2" }],
    });
    renderAt("/approvals", <Approvals />);
    expect(await screen.findByText("a changed plan was asked for: A2")).toBeVisible();
    expect(screen.queryByRole("button", { name: "Approve…" })).toBeNull();
  });
});
