// What to look for in the graph. Cards without a match stay where they are, in grey: what leads to a match is still seen.
import { useState } from "react";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { FilterSelect } from "../../parts/Select";
import { labelOf } from "../../parts/State";

export const FILTERS = ["find", "state", "owner", "tag"] as const;
type Filter = (typeof FILTERS)[number];
const DRAWN_MS_MAX = 5_000;

export function Filters({
  values,
  set,
  view,
}: {
  values: Partial<Record<Filter, string>>;
  set: (name: Filter, value: string) => void;
  view: Schema["GraphView"] | undefined;
}) {
  const catalog = useResponse("/api/v1/assets", { query: { limit: 1 } }).data;
  const [last, setLast] = useState<string | null>(null);
  const matching = (view?.cards ?? []).filter((card) => card.matching);
  const next = () => {
    const after = matching.findIndex((card) => card.id === last) + 1;
    const card = matching[after % matching.length];
    if (!card) return;
    setLast(card.id);
    focusOnceDrawn(card.id, performance.now() + DRAWN_MS_MAX);
  };
  return (
    <search className="filters">
      <label>
        Find
        <input
          className="input"
          type="search"
          value={values.find ?? ""}
          onChange={({ target }) => set("find", target.value)}
          onKeyDown={({ key }) => key === "Enter" && next()}
          placeholder="Name…"
        />
      </label>
      <FilterSelect
        name="State"
        value={values.state}
        choices={statesOf(view)}
        textOf={labelOf}
        choose={(value) => set("state", value)}
      />
      <FilterSelect
        name="Owner"
        value={values.owner}
        choices={catalog?.owners.map((row) => row.value) ?? []}
        choose={(value) => set("owner", value)}
      />
      <FilterSelect
        name="Tag"
        value={values.tag}
        choices={catalog?.tags.map((row) => row.value) ?? []}
        choose={(value) => set("tag", value)}
      />
      {typeof view?.matching === "number" && (
        <button
          type="button"
          className="button next-match"
          onClick={next}
          disabled={!matching.length}
        >
          Next match
        </button>
      )}
    </search>
  );
}

/** Who types and presses Enter is quicker than the layout of what was found. */
function focusOnceDrawn(id: string, until: number) {
  const card = document.querySelector<HTMLElement>(
    `.react-flow__node[data-id="${CSS.escape(id)}"]`,
  );
  // The graph brings a card into view when it gets the focus.
  if (card) card.focus();
  else if (performance.now() < until) requestAnimationFrame(() => focusOnceDrawn(id, until));
}

function statesOf(view: Schema["GraphView"] | undefined): string[] {
  const states = (view?.cards ?? []).flatMap((card) =>
    card.state === null ? card.states.map((row) => row.value) : [card.state],
  );
  return [...new Set(states)].toSorted();
}
