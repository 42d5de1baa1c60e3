// What to look for in the graph. Cards without a match stay where they are, in grey: what leads to a match is still seen.
import { useState } from "react";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { labelOf } from "../../parts/State";

export const FILTERS = ["find", "state", "owner", "tag"] as const;
type Filter = (typeof FILTERS)[number];

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
    // The graph moves a card into the window when it gets the focus.
    document
      .querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(card.id)}"]`)
      ?.focus();
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
      <Choice
        name="State"
        value={values.state}
        choices={statesOf(view)}
        textOf={labelOf}
        choose={(value) => set("state", value)}
      />
      <Choice
        name="Owner"
        value={values.owner}
        choices={catalog?.owners.map((row) => row.value) ?? []}
        choose={(value) => set("owner", value)}
      />
      <Choice
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

function statesOf(view: Schema["GraphView"] | undefined): string[] {
  const states = (view?.cards ?? []).flatMap((card) =>
    card.state === null ? card.states.map((row) => row.value) : [card.state],
  );
  return [...new Set(states)].toSorted();
}

function Choice({
  name,
  value = "",
  choices,
  textOf,
  choose,
}: {
  name: string;
  value: string | undefined;
  choices: readonly string[];
  textOf?: (choice: string) => string;
  choose: (value: string) => void;
}) {
  if (!choices.length && !value) return null;
  // What is chosen stays a choice where no node is like that any more.
  const all = !value || choices.includes(value) ? choices : [value, ...choices];
  return (
    <label>
      {name}
      <select className="input" value={value} onChange={({ target }) => choose(target.value)}>
        <option value="">any</option>
        {all.map((choice) => (
          <option key={choice} value={choice}>
            {textOf ? textOf(choice) : choice}
          </option>
        ))}
      </select>
    </label>
  );
}
