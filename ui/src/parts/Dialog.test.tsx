import { fireEvent, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { renderAt } from "../testing/render";
import { serverOfTests } from "../testing/server";
import { Command } from "./Command";
import { Confirm } from "./Confirm";
import { Dialog } from "./Dialog";

const server = serverOfTests();

describe("a dialog", () => {
  const show = () => {
    const close = vi.fn();
    renderAt(
      "/",
      <Dialog title="Retry" close={close}>
        <input aria-label="Why" />
      </Dialog>,
    );
    return { close, dialog: screen.getByRole("dialog"), field: screen.getByRole("textbox") };
  };

  it("closes by a press on what is behind it", () => {
    const { close, dialog } = show();
    fireEvent.pointerDown(dialog);
    fireEvent.pointerUp(dialog);
    expect(close).toHaveBeenCalledOnce();
  });

  it("stays open where a selection of text ends behind it", () => {
    // Would catch: a reason that is lost because it was selected with the mouse.
    const { close, dialog, field } = show();
    fireEvent.pointerDown(field);
    fireEvent.pointerUp(dialog);
    fireEvent.click(dialog);
    expect(close).not.toHaveBeenCalled();
  });
});

describe("an act that is confirmed", () => {
  const PAUSE = "/api/v1/pause";
  const show = (reasoned = true) =>
    renderAt(
      "/",
      <Confirm
        title="Pause orders"
        verb="Pause it"
        path={PAUSE}
        body={{ select: ["orders"] }}
        reasoned={reasoned}
        effect={<p>Nothing runs.</p>}
        done={() => <p>It is paused.</p>}
        close={() => undefined}
      />,
    );
  const button = () => screen.getByRole("button", { name: "Pause it" });

  it("needs a reason where one is required; spaces are none", async () => {
    // Would catch: an audit trail without reasons.
    show();
    expect(button()).toBeDisabled();
    await userEvent.type(screen.getByRole("textbox"), "   ");
    expect(button()).toBeDisabled();
  });

  it("is sent with its trimmed reason, and says what came of it", async () => {
    server().answer(PAUSE, { body: { paused: [] } });
    show();
    await userEvent.type(screen.getByRole("textbox"), " vendor is late ");
    await userEvent.click(button());
    expect(await screen.findByText("It is paused.")).toBeVisible();
    const body: unknown = JSON.parse(server().received[0]?.body ?? "");
    expect(body).toEqual({ select: ["orders"], reason: "vendor is late" });
  });

  it("that is refused says why, and keeps the reason", async () => {
    // Would catch: a person types the reason a second time, or believes that it was done.
    server().answer(PAUSE, { status: 409, body: { detail: "It is paused already." } });
    show();
    await userEvent.type(screen.getByRole("textbox"), "vendor");
    await userEvent.click(button());
    expect(await screen.findByRole("alert")).toHaveTextContent("It is paused already.");
    expect(screen.getByRole("textbox")).toHaveValue("vendor");
    expect(button()).toBeEnabled();
  });
});

describe("a command", () => {
  const clipboard = (writeText: (() => Promise<void>) | null) => {
    if (writeText)
      Object.defineProperty(navigator, "clipboard", { value: { writeText }, configurable: true });
    else Reflect.deleteProperty(navigator, "clipboard");
  };

  it("offers no copy on a page without a clipboard", () => {
    // Would catch: a button that does nothing, on a page of plain HTTP.
    clipboard(null);
    renderAt("/", <Command text="headrace plan" />);
    expect(screen.getByText("headrace plan")).toBeVisible();
    expect(screen.queryByRole("button")).toBeNull();
  });

  it.each([
    ["Copied", () => Promise.resolve()],
    ["Not copied", () => Promise.reject(new Error("denied"))],
  ])("says “%s”", async (text, writeText) => {
    // Would catch: "Copied" although the browser refused.
    clipboard(writeText);
    renderAt("/", <Command text="headrace plan" />);
    fireEvent.click(screen.getByRole("button"));
    expect(await screen.findByText(text)).toBeVisible();
    clipboard(null);
  });
});
