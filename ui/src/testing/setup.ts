// What jsdom lacks of a browser, and cleaning up after each test.
import "@testing-library/jest-dom/vitest";
import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";
import { addressServer } from "./server";

/** jsdom has no layout: nothing ever changes its size. */
class StillResizeObserver implements ResizeObserver {
  observe = () => undefined;
  unobserve = () => undefined;
  disconnect = () => undefined;
}
globalThis.ResizeObserver = StillResizeObserver;
// Without a layout there is nothing to scroll.
Element.prototype.scrollIntoView = () => undefined;
HTMLDialogElement.prototype.showModal = function (this: HTMLDialogElement) {
  this.open = true;
};
HTMLDialogElement.prototype.close = function (this: HTMLDialogElement) {
  this.open = false;
};
addressServer();
// After that: the client remembers the `fetch` that it finds when it is loaded.
const { queries } = await import("../api/responses");

afterEach(() => {
  cleanup();
  queries.clear();
  localStorage.clear();
});
