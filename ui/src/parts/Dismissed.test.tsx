import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { queries } from "../api/responses";
import { addressServer, serverOfTests } from "../testing/server";
import { renderAt } from "../testing/render";
import { Dismissed, dismissedOf } from "./Dismissed";

addressServer();
const server = serverOfTests();
beforeEach(() => queries.clear());

const DISMISSAL = {
  by: "ana",
  at: "2026-03-02T06:00:00Z",
  reason: "read by <b>hand</b>",
  ended: null,
  command: "headrace optimize reopen c-1",
};
const ROWS = [
  { id: "c-1", dismissal: DISMISSAL, evidence: "nobody reads it" },
  { id: "c-2", dismissal: { ...DISMISSAL, command: null }, evidence: "the same as c-1" },
];
const show = () =>
  renderAt("/", <Dismissed rows={dismissedOf(ROWS, ({ evidence }) => evidence)} />);

// Would catch: dismissed proposals that are gone from the page, or without who, why and the way back.
test("dismissed proposals are folded, and are reopened", async () => {
  server().answer("/api/v1/session", { body: { refused_acts: [] } });
  server().answer("/api/v1/proposals/reopen", { body: { ids: ["c-1"], dismissal: null } });
  show();
  const summary = screen.getByText("2 dismissed");
  expect(screen.getByText("nobody reads it")).not.toBeVisible();
  await userEvent.click(summary);
  expect(screen.getByText("nobody reads it")).toBeVisible();
  expect(screen.getAllByText(/Dismissed by ana, .*: read by <b>hand<\/b>/)).toHaveLength(2);
  expect(screen.getByText("headrace optimize reopen c-1")).toBeVisible();
  const [first] = screen.getAllByRole("button", { name: "Reopen" });
  if (first) await userEvent.click(first);
  await waitFor(() => {
    const [post] = server().received.filter(({ method }) => method === "POST");
    expect(post?.path).toBe("/api/v1/proposals/reopen");
    expect(JSON.parse(post?.body ?? "")).toEqual({ ids: ["c-1"] });
  });
});

// Would catch: a button that only the server refuses, a fold of nothing.
test("a reader who may not reopen is told which role it needs", async () => {
  const refused = { act: "optimize reopen", reason: "needs the role owner; ask bo" };
  server().answer("/api/v1/session", { body: { refused_acts: [refused] } });
  show();
  await userEvent.click(screen.getByText("2 dismissed"));
  await waitFor(() => {
    for (const button of screen.getAllByRole("button", { name: "Reopen" }))
      expect(button).toBeDisabled();
  });
  expect(screen.getAllByText("Reopen: needs the role owner; ask bo.")).toHaveLength(2);
});

test("without dismissed proposals nothing is folded", () => {
  const { container } = renderAt("/", <Dismissed rows={[]} />);
  expect(container.querySelector("details")).toBeNull();
});
