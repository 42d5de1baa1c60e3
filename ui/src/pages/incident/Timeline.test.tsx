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
