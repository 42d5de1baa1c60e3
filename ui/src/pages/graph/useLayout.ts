// Where the cards of a view go, found when its cards or lines change.
import { useEffect, useState } from "react";
import { layout, type Direction, type Positions, type View } from "./layout";

/** Where the cards go; null until that is known. */
export function useLayout(view: View, direction: Direction = "RIGHT"): Positions | "failed" | null {
  const [result, setResult] = useState<{ cards: string; positions: Positions | "failed" }>();
  const cards =
    `${direction}\n` +
    view.cards.map((card) => card.id).join("\n") +
    view.edges.map((edge) => `${edge.from}>${edge.to}`).join("\n");
  useEffect(() => {
    let current = true;
    const finish = (positions: Positions | "failed") => {
      if (current) setResult({ cards, positions });
    };
    layout(view, undefined, direction).then(finish, () => finish("failed"));
    return () => {
      current = false;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `cards` is all that the layout depends on: a change of state moves nothing
  }, [cards]);
  return result?.cards === cards ? result.positions : null;
}
