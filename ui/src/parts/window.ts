// Of a long list only the rows around those that are seen are in the page; spaces of about the right height stand for the others.
import { useLayoutEffect, useRef, useState } from "react";

/** Up to here a list is there as a whole, so that the browser's own search finds everything in it. */
const MANY = 300;
/** Rows beyond both edges, and how many are exchanged at once. */
const AROUND = 12;
const STEP = 6;
const ROW_PX = 40;

/** Which rows of `count` to show inside the element at `scroller`, which scrolls by itself where `many` is true. `above` and `below` are pixels. */
export function useWindow(count: number) {
  const scroller = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState({ top: 0, seen: 20 });
  const [height, setHeight] = useState(ROW_PX);
  const many = count > MANY;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!many || !element) return undefined;
    const measure = () => {
      const rows = [...element.querySelectorAll<HTMLElement>("[data-row]")];
      const all = rows.reduce((sum, row) => sum + row.offsetHeight, 0);
      const found = all / rows.length || ROW_PX;
      setHeight(found);
      setAt({ top: stepped(element.scrollTop / found), seen: Math.ceil(element.clientHeight / found) });
    };
    const observer = new ResizeObserver(measure); // another width, other lines
    observer.observe(element);
    return () => observer.disconnect();
  }, [many]);
  const from = many ? Math.min(Math.max(at.top - AROUND, 0), count) : 0;
  const to = many ? Math.min(at.top + at.seen + STEP + AROUND, count) : count;
  return {
    scroller, many, from, to,
    above: from * height,
    below: (count - to) * height,
    scrolled: () => {
      const top = stepped((scroller.current?.scrollTop ?? 0) / height);
      if (many && top !== at.top) setAt((last) => ({ ...last, top }));
    },
    /** Brings a row into sight, also one that isn't in the page. */
    show: (index: number) => {
      const element = scroller.current;
      if (!element || !many) return element?.querySelector(`[data-row="${index}"]`)?.scrollIntoView({ block: "nearest" });
      if (index * height < element.scrollTop) element.scrollTop = index * height;
      if ((index + 2) * height > element.scrollTop + element.clientHeight) element.scrollTop = (index + 2) * height - element.clientHeight;
    },
  };
}

function stepped(row: number): number {
  return Math.floor(row / STEP) * STEP;
}
