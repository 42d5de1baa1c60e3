// Moves the window of the graph: at first to all of a small view or the subject of a larger one, then to what a search finds.
import { useReactFlow, useStore } from "@xyflow/react";
import { useCallback, useEffect, useRef } from "react";
import type { Schema } from "../../api/client";
import { reducesMotion } from "../../parts/motion";
import { centreOf, EDGE, leastZoom, READABLE } from "./inView";
import type { Positions } from "./layout";

const MOVE_MS = 300;

type Props = {
  view: Schema["GraphView"];
  positions: Positions;
  /** The search whose matches the view has; empty without one. */
  search: string;
};

/** Brings cards into view: all of them, or the first if they can't be read together. */
export function useBringIntoView(positions: Positions | "failed" | null) {
  const { getViewport, setCenter } = useReactFlow();
  return useCallback(
    (ids: readonly string[], smoothly: boolean) => {
      const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
      if (!pane || !(positions instanceof Map)) return;
      const centre = centreOf(ids, positions, pane, getViewport());
      const still = !smoothly || reducesMotion();
      if (centre)
        void setCenter(centre.x, centre.y, { zoom: centre.zoom, duration: still ? 0 : MOVE_MS });
    },
    [positions, getViewport, setCenter],
  );
}

export function Viewport({ view, positions, search }: Props) {
  const { fitView } = useReactFlow();
  const bringIntoView = useBringIntoView(positions);
  const showBeginning = useShowBeginning(view, positions);
  const placedRef = useRef<Positions>(null);
  useEffect(() => {
    const moved = placedRef.current !== positions;
    placedRef.current = positions;
    const matches = search ? view.cards.filter((card) => card.matching).map(({ id }) => id) : [];
    const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
    if (!moved) bringIntoView(matches, true);
    else if (pane)
      void fitView({ minZoom: leastZoom(positions, pane), maxZoom: 1, padding: "8px" }).then(() => {
        if (matches.length) bringIntoView(matches, false);
        else showBeginning();
      });
    // eslint-disable-next-line react-hooks/exhaustive-deps -- whoever has moved the window keeps it: a match that comes or goes with its state moves nothing
  }, [positions, search, view.root, view.mode]);
  return null;
}

/** Tells the cards' style how far away they are: names are written larger where details can't be read. */
export function Distance() {
  const [pane, zoom] = [
    useStore((store) => store.domNode),
    useStore((store) => store.transform[2]),
  ];
  useEffect(() => {
    pane?.style.setProperty("--zoom", zoom.toFixed(3));
    pane?.classList.toggle("far", zoom < READABLE);
  }, [pane, zoom]);
  return null;
}

/** Shows the subject of a view that is larger than the window. */
function useShowBeginning(view: Schema["GraphView"], positions: Positions) {
  const { getViewport, getNodesBounds, setCenter } = useReactFlow();
  return () => {
    const begin = view.root
      ? positions.get(view.root)
      : [...positions.values()].toSorted((a, b) => a.x - b.x || a.y - b.y)[0];
    const { zoom } = getViewport();
    const all = getNodesBounds([...positions.keys()]);
    const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
    if (!begin || !pane || (all.width * zoom <= pane.width && all.height * zoom <= pane.height))
      return;
    const x =
      view.mode === "focus" ? begin.x + begin.width / 2 : begin.x + pane.width / zoom / 2 - EDGE; // what is below a node is to the right of it
    const y =
      !view.root && all.height * zoom <= pane.height
        ? all.y + all.height / 2
        : begin.y + begin.height / 2;
    void setCenter(x, y, { zoom });
  };
}
