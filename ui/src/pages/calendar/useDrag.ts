// Moving a delivery along the hours of a night by mouse, touch or keys.
import { useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import { movedByKey, snapped } from "./timeline";

type Drag = { x: number; minutes: number; minutesPerPixel: number; moved: number };

/** Where a delivery is while it is dragged. `change` gets the minutes on drop and for each key. */
export function useDrag(minutes: number, length: number, change: (minutes: number) => void) {
  const dragRef = useRef<Drag | null>(null);
  const [dragged, setDragged] = useState<number | null>(null);
  const end = () => {
    dragRef.current = null;
    setDragged(null);
  };
  const handlers = {
    onPointerDown: (event: PointerEvent<HTMLElement>) => {
      if (!event.isPrimary || event.button !== 0) return;
      const handle = event.currentTarget;
      handle.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      const width = handle.parentElement?.clientWidth ?? 0;
      dragRef.current = {
        x: event.clientX,
        minutes,
        minutesPerPixel: width ? length / width : 0,
        moved: minutes,
      };
      setDragged(minutes);
      event.preventDefault();
    },
    onPointerMove: (event: PointerEvent<HTMLElement>) => {
      const from = dragRef.current;
      if (!from) return;
      const to = from.minutes + (event.clientX - from.x) * from.minutesPerPixel;
      from.moved = event.clientX === from.x ? from.minutes : snapped(to);
      setDragged(from.moved);
    },
    onPointerUp: () => {
      const to = dragRef.current?.moved;
      end();
      if (to !== undefined && to !== minutes) change(to);
    },
    onPointerCancel: end,
    onKeyDown: (event: KeyboardEvent<HTMLElement>) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const to = movedByKey(event.key, minutes);
      if (to === null) return;
      event.preventDefault();
      event.stopPropagation();
      if (dragRef.current && event.key === "Escape") end();
      else if (to !== minutes) change(to);
    },
  };
  return { moved: dragged ?? minutes, dragging: dragged !== null, handlers };
}
