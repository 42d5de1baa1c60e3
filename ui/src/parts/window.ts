// Of a long list only the rows around the visible ones are in the page; spaces of about the right
// height stand for the others.
import { useLayoutEffect, useState, type RefObject } from "react";

/** Up to here a list is there as a whole, so that the browser's own search finds everything in it. */
const WHOLE_MAX = 300;
/** Rows beyond both edges, and how many are exchanged at once. */
const MARGIN_ROWS = 12;
const STEP_ROWS = 3;
const ROW_PX = 40;

type Window = {
  /** Whether the list scrolls by itself and has only some of its rows in the page. */
  partial: boolean;
  /** The rows to show: from the first, inclusive, to the last, exclusive. */
  from: number;
  to: number;
  /** The heights of the rows before and after, in pixels. */
  above: number;
  below: number;
  scrolled: () => void;
  /** Brings a row into sight, also one that isn't in the page. */
  show: (index: number) => void;
};

/** Which rows of `count` to show inside an element. */
export function useWindow(scrollerRef: RefObject<HTMLElement | null>, count: number): Window {
  const [visible, setVisible] = useState({ top: 0, count: 20 });
  const [height, setHeight] = useState(ROW_PX);
  const partial = count > WHOLE_MAX;
  useLayoutEffect(() => {
    const element = scrollerRef.current;
    if (!partial || !element) return undefined;
    const measure = () => {
      const rows = [...element.querySelectorAll<HTMLElement>("[data-row]")];
      const total = rows.reduce((sum, row) => sum + row.offsetHeight, 0);
      const mean = total / rows.length || ROW_PX;
      setHeight(mean);
      setVisible({
        top: stepped(element.scrollTop / mean),
        count: Math.ceil(element.clientHeight / mean),
      });
    };
    const observer = new ResizeObserver(measure); // another width, other lines
    observer.observe(element);
    return () => observer.disconnect();
  }, [scrollerRef, partial]);
  const from = partial ? Math.min(Math.max(visible.top - MARGIN_ROWS, 0), count) : 0;
  const to = partial
    ? Math.min(visible.top + visible.count + STEP_ROWS + MARGIN_ROWS, count)
    : count;
  return {
    partial,
    from,
    to,
    above: from * height,
    below: (count - to) * height,
    scrolled: () => {
      const top = stepped((scrollerRef.current?.scrollTop ?? 0) / height);
      if (partial && top !== visible.top) setVisible((last) => ({ ...last, top }));
    },
    show: (index: number) => {
      const element = scrollerRef.current;
      if (!element) return;
      if (!partial) {
        element.querySelector(`[data-row="${index}"]`)?.scrollIntoView({ block: "nearest" });
        return;
      }
      if (index * height < element.scrollTop) element.scrollTop = index * height;
      const bottom = (index + 2) * height; // the row and, as high, the heading that sticks above it
      if (bottom > element.scrollTop + element.clientHeight)
        element.scrollTop = bottom - element.clientHeight;
    },
  };
}

function stepped(row: number): number {
  return Math.floor(row / STEP_ROWS) * STEP_ROWS;
}
