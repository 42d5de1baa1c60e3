import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { queries } from "../../api/responses";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Timeline } from "./Timeline";

const server = serverOfTests();
beforeEach(() => queries.clear());

const OPEN = {
  id: "INC-3",
  state: "open",
  assignee: null,
  ticket: null,
  muted: null,
  timeline: [],
};
const asRow = (row: object) => row as unknown as Schema["IncidentRow"];

it("mutes an incident for a while with a reason, and unmutes it", async () => {
  // Would catch: a mute for good that was asked for an hour, one without a reason, and a muted or
  // resolved incident that is offered to be muted.
  const muted = { by: "ana", since: "2025-03-05T06:00:00Z", until: null, reason: "x" };
  server().answer("/api/v1/session", { body: { refused_acts: [] } });
  server().answer("/api/v1/incidents/INC-3/mute", { body: { ...OPEN, muted } });
  server().answer("/api/v1/incidents/INC-3/unmute", { body: OPEN });
  renderAt("/", <Timeline row={asRow(OPEN)} />);
  expect(screen.queryByRole("button", { name: "Unmute…" })).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Mute…" }));
  const dialog = screen.getByRole("dialog", { name: "Mute INC-3" });
  await userEvent.selectOptions(within(dialog).getByLabelText("How long"), "1h");
  expect(within(dialog).getByRole("button", { name: "Mute it" })).toBeDisabled();
  await userEvent.type(within(dialog).getByLabelText("Why"), "vendor is at it");
  await userEvent.click(within(dialog).getByRole("button", { name: "Mute it" }));
  expect(await within(dialog).findByText(/INC-3 is muted/)).toBeVisible();
  renderAt("/", <Timeline row={asRow({ ...OPEN, id: "INC-3", muted })} />);
  await userEvent.click(screen.getByRole("button", { name: "Unmute…" }));
  await userEvent.click(screen.getByRole("button", { name: "Unmute it" }));
  expect(await screen.findByText("INC-3 isn’t muted any more.")).toBeVisible();
  const sent = server().received.filter(({ method }) => method === "POST");
  expect(sent.map(({ body }) => body)).toEqual(['{"until":"1h","reason":"vendor is at it"}', "{}"]);
});

it("shows what can't be seen in a name", () => {
  // Would catch: a name that reverses the text after it.
  server().answer("/api/v1/session", { body: { refused_acts: [] } });
  const line = { at: "2025-03-05T06:00:00Z", what: "a note", by: "a\u202eb" };
  renderAt("/", <Timeline row={asRow({ ...OPEN, timeline: [line] })} />);
  expect(screen.getByRole("cell", { name: "a\\u202eb" })).toBeVisible();
});

it("offers no mute of a resolved incident", () => {
  server().answer("/api/v1/session", { body: { refused_acts: [] } });
  renderAt("/", <Timeline row={asRow({ ...OPEN, state: "resolved" })} />);
  expect(screen.getByRole("button", { name: "Assign…" })).toBeVisible();
  expect(screen.queryByRole("button", { name: "Mute…" })).toBeNull();
});

it("assigns an incident to a suggested person, and to nobody where the field is emptied", async () => {
  // Would catch: an empty field that is sent as a name, or that leaves the assignment as it was.
  const row = { id: "INC-3", assignee: "bo", ticket: null, timeline: [] };
  server().answer("/api/v1/session", { body: { refused_acts: [] } });
  server().answer("/api/v1/people", { body: { people: ["ana", "bo"] } });
  server().answer("/api/v1/incidents/INC-3/assign", { body: { ...row, assignee: null } });
  renderAt("/", <Timeline row={row as unknown as Schema["IncidentRow"]} />);
  await userEvent.click(screen.getByRole("button", { name: "Assign…" }));
  const dialog = screen.getByRole("dialog", { name: "Assign INC-3" });
  const field = within(dialog).getByLabelText("Person (empty: nobody)");
  expect(field).toHaveValue("bo");
  await expect.poll(() => dialog.querySelectorAll("datalist option").length).toBe(2);
  expect(within(dialog).getByRole("button", { name: "Assign" })).toBeDisabled();
  await userEvent.clear(field);
  await userEvent.click(within(dialog).getByRole("button", { name: "Assign" }));
  expect(await within(dialog).findByText("INC-3 is assigned to nobody.")).toBeVisible();
  const sent = server().received.filter(({ method }) => method === "POST");
  expect(sent.map(({ body }) => body)).toEqual(['{"person":null}']);
});
