// Single keys: off while something is typed into, and where the viewer turned them off (WCAG 2.1.4).
import { useEffect, useRef } from "react";

const KEY = "headrace-keys-off";

export function keysAreEnabled(): boolean {
  return localStorage.getItem(KEY) === null;
}

export function enableKeys(on: boolean): void {
  if (on) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, "1");
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
  );
}

/** Call `pressed` with each single key; it says whether it was for it. Keys pressed over an open dialog are the dialog's. */
export function useKeys(pressed: (key: string) => boolean): void {
  const pressedRef = useRef(pressed);
  useEffect(() => {
    pressedRef.current = pressed;
  });
  useEffect(() => {
    const listener = (event: KeyboardEvent) => {
      if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        event.defaultPrevented ||
        isTyping(event.target)
      )
        return;
      if (!keysAreEnabled() || document.querySelector("dialog[open]")) return;
      if (pressedRef.current(event.key)) event.preventDefault();
    };
    window.addEventListener("keydown", listener);
    return () => window.removeEventListener("keydown", listener);
  }, []);
}
