import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { queries } from "../api/responses";
import { visit } from "../parts/recent";
import { addressServer, serverOfTests } from "../testing/server";
import { renderAt } from "../testing/render";
import { Palette } from "./Palette";

addressServer();
const server = serverOfTests();
beforeEach(() => queries.clear());

const PAUSE = { act: "pause", kind: "source", name: "carrier/a", detail: "source, owner core" };
const BACKFILL = { act: "backfill", kind: "asset", name: "late", detail: "asset, owner core" };
const CARRIER = { kind: "source", name: "carrier/a", of: null, said: "" };

function answer(query: string, acts: readonly object[], found: readonly object[] = []) {
  server().answer("/api/v1/search", { body: { query, found, more: false } });
  server().answer("/api/v1/possible-acts", { body: { query, acts, more: false } });
}

async function type(text: string) {
  renderAt("/", <Palette close={() => undefined} />);
  await userEvent.type(screen.getByRole("combobox"), text);
}
const options = () => screen.getAllByRole("option").map((option) => option.textContent);

// Would catch: an order that is done at once, or one that leads to the page without its question.
test("an order leads to the dialog that asks, and sends nothing itself", async () => {
  answer("pause car", [PAUSE], [CARRIER]);
  await type("pause car");
  await screen.findByText("Pause carrier/a…");
  expect(options()[0]).toContain("Pause carrier/a…");
  await userEvent.keyboard("{Enter}");
  await waitFor(() =>
    expect(screen.getByLabelText("Address")).toHaveTextContent("/sources/carrier%2Fa?act=pause"),
  );
  expect(server().received.every((request) => request.method === "GET")).toBe(true);
});

// Would catch: an act before the thing that is called so.
test("a name finds the thing first, then what can be done to it", async () => {
  answer("carrier", [PAUSE], [CARRIER]);
  await type("carrier");
  await screen.findByText("Pause carrier/a…");
  await waitFor(() =>
    expect(options()).toEqual(["carrier/asource", "Pause carrier/a…source, owner core"]),
  );
});

// Would catch: days that are looked for as a name, or lost on the way to the plan.
test("a backfill keeps its days", async () => {
  answer("backfill late", [BACKFILL]);
  await type("backfill late from 2025-03-01 to 2025-03-03");
  await screen.findByText("Backfill late from 2025-03-01 to 2025-03-03…");
  await userEvent.keyboard("{Enter}");
  await waitFor(() =>
    expect(screen.getByLabelText("Address")).toHaveTextContent(
      "/backfills/new?select=late&from=2025-03-01&to=2025-03-03",
    ),
  );
});

// Would catch: the act of an earlier text that Enter chooses before the server has answered.
test("acts of an earlier text aren't offered", async () => {
  answer("pause", [PAUSE]);
  await type("pause x");
  await waitFor(() => expect(server().received.length).toBeGreaterThan(2));
  expect(screen.queryByText("Pause carrier/a…")).toBeNull();
});

test("open INC-3 searches for INC-3", async () => {
  answer("open INC-3", [], [{ kind: "incident", name: "INC-3", of: null, said: "late" }]);
  await type("open INC-3");
  await screen.findByText("INC-3");
  await waitFor(() => {
    // Requests of one moment may arrive in any order.
    const searched = server().received.filter(({ path }) => path === "/api/v1/search");
    expect(searched.map(({ query }) => query.get("q"))).toContain("INC-3");
  });
});

// Would catch: roles that are blamed for a word that isn't an act here.
test("a text that fits nothing names the acts that are known", async () => {
  answer("waive", []);
  await type("waive");
  expect(await screen.findByText(/^Nothing found/)).toHaveTextContent(
    "approve, backfill, cancel, pause, reject, repair, resume, run; your roles may not allow all of them. In this browser: save view, remove view, density, time zone, theme.",
  );
});

// Would catch: a view whose name reverses the text beside it, or hides a part of itself.
test("characters that can't be seen are shown as escapes", async () => {
  server().answer("/api/v1/status", { body: { project: "shop" } });
  server().answer("/api/v1/session", { body: { who: "user:ana" } });
  answer("", []);
  renderAt("/runs", <Palette close={() => undefined} />);
  await userEvent.type(screen.getByRole("combobox"), "save view invoice\u202Efdp.exe");
  expect(await screen.findByText("Save this view as “invoice\\u202efdp.exe”")).toBeInTheDocument();
});

// Would catch: an empty list without a reason while the server is away.
test("without the server the palette says that only pages are found", async () => {
  const refusal = { status: 503, body: { detail: "The database is busy." } };
  server().answer("/api/v1/search", refusal);
  server().answer("/api/v1/possible-acts", refusal);
  await type("audit");
  expect(await screen.findByText(/Names aren’t found now/)).toHaveTextContent(
    "The database is busy. Names aren’t found now.",
  );
  expect(options()).toEqual(["Auditpage"]);
});

// Would catch: a setting that only a reload shows.
test("a setting is changed at once", async () => {
  answer("density comp", []);
  await type("density comp");
  await userEvent.keyboard("{Enter}");
  expect(document.documentElement.dataset.density).toBe("compact");
  delete document.documentElement.dataset.density;
});

// Would catch: things that another person of this browser has looked at.
test("an empty palette offers what this person has looked at last", async () => {
  server().answer("/api/v1/status", { body: { project: "shop" } });
  server().answer("/api/v1/session", { body: { who: "user:ana" } });
  visit('headrace-recent ["shop","user:ana"]', "/sources/carrier%2Fa");
  visit('headrace-recent ["shop","user:ana"]', "/backfills/new");
  visit('headrace-recent ["shop","user:bob"]', "/incidents/INC-1");
  renderAt("/", <Palette close={() => undefined} />);
  await screen.findByText("carrier/a");
  expect(options()[0]).toBe("carrier/asource · recent");
  expect(options().join()).not.toContain("INC-1");
  expect(options().join()).not.toContain("backfills/new");
});

// Would catch: a view without its filters, one that another person sees, one that can't be removed.
test("a view is saved with its filters, opened and removed", async () => {
  server().answer("/api/v1/status", { body: { project: "shop" } });
  server().answer("/api/v1/session", { body: { who: "user:ana" } });
  localStorage.setItem('headrace-views ["shop","user:bob"]', '[{"name":"bobs","path":"/runs"}]');
  answer("", []);
  const { unmount } = renderAt("/runs?state=failed", <Palette close={() => undefined} />);
  await userEvent.type(screen.getByRole("combobox"), "save view my failures");
  await screen.findByText("Save this view as “my failures”");
  await userEvent.keyboard("{Enter}");
  unmount();
  const view = renderAt("/", <Palette close={() => undefined} />);
  await screen.findByText("my failures");
  expect(options().join()).not.toContain("bobs");
  await userEvent.click(screen.getByText("my failures"));
  await waitFor(() =>
    expect(screen.getByLabelText("Address")).toHaveTextContent("/runs?state=failed"),
  );
  view.unmount();
  await type("remove view fail");
  await screen.findByText("Remove the view “my failures”");
  await userEvent.keyboard("{Enter}");
  await userEvent.clear(screen.getByRole("combobox"));
  expect(screen.queryByText("my failures")).toBeNull();
});

// Would catch: a person's name that leads to assets of an owner of that name.
test("a person leads to their entries of the audit trail", async () => {
  answer("ana", [], [{ kind: "person", name: "ana@vm", of: null, said: "last entry 2025-03-01" }]);
  await type("ana");
  await userEvent.click(await screen.findByText("ana@vm"));
  await waitFor(() =>
    expect(screen.getByLabelText("Address")).toHaveTextContent("/audit?actor=ana%40vm"),
  );
});

// Would catch: a way out for a browser without a session, or one that ends nothing.
test("a session is ended from the palette", async () => {
  answer("sign out", []);
  server().answer("/api/v1/session", { body: { who: "user:ana", session: "session-1" } });
  server().answer("/api/v1/session/end", { body: {} });
  await type("sign out");
  await userEvent.click(await screen.findByText("Sign out"));
  await waitFor(() => {
    const posts = server().received.filter(({ method }) => method === "POST");
    expect(posts.map(({ path }) => path)).toEqual(["/api/v1/session/end"]);
  });
});

// Would catch: a thing of another name that looks as if it were the one that was typed.
test("a mistyped name finds similar ones, and says so", async () => {
  const body = { query: "carier", found: [CARRIER], more: false, similar: true };
  server().answer("/api/v1/search", { body });
  server().answer("/api/v1/possible-acts", { body: { query: "carier", acts: [], more: false } });
  await type("carier");
  await screen.findByText("source · similar name");
  const searched = server().received.findLast(({ path }) => path === "/api/v1/search");
  expect(searched?.query.get("near")).toBe("true");
});
