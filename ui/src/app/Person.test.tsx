import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { queries } from "../api/responses";
import { addressServer, serverOfTests } from "../testing/server";
import { renderAt } from "../testing/render";
import { Person } from "./Shell";

addressServer();
const server = serverOfTests();
beforeEach(() => queries.clear());

const ANA = { who: "user:ana", name: "", kind: "user", session: "session-1" };

// Would catch: a browser that shows nobody, or whose button doesn't end the session at the server.
test("a person sees their name and signs out", async () => {
  server().answer("/api/v1/session", { body: ANA });
  server().answer("/api/v1/session/end", { body: ANA });
  renderAt("/", <Person />);
  expect(await screen.findByTitle("user:ana")).toHaveTextContent("ana");
  await userEvent.click(screen.getByRole("button", { name: "Sign out" }));
  await waitFor(() => {
    const posts = server().received.filter((request) => request.method === "POST");
    expect(posts.map((request) => request.path)).toEqual(["/api/v1/session/end"]);
    expect(posts[0]?.headers["x-headrace-act"]).toBe("1");
  });
});

// Would catch: a way out that does nothing, for a browser that sends a token.
test("a token has no session to end", async () => {
  server().answer("/api/v1/session", { body: { ...ANA, who: "token:ci", session: null } });
  renderAt("/", <Person />);
  expect(await screen.findByText("token:ci")).toBeInTheDocument();
  expect(screen.queryByRole("button")).toBeNull();
});
