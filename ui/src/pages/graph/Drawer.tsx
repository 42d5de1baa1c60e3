// What is known of a card that was clicked, beside the graph, with the ways on from it.
import { useEffect, useRef } from "react";
import { Link } from "react-router";
import { useKeys } from "../../app/keys";
import { State } from "../../parts/State";
import { many } from "../../parts/words";
import { nameOf, pageOf, stateOf, targetOf, type Address, type Card } from "./card";

export function Drawer({
  card,
  address,
  close,
}: {
  card: Card;
  address: Address;
  close: () => void;
}) {
  const headingRef = useRef<HTMLHeadingElement>(null);
  useEffect(() => headingRef.current?.focus({ preventScroll: true }), []);
  const leave = () => {
    close();
    document
      .querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(card.id)}"]`)
      ?.focus({ preventScroll: true });
  };
  useKeys((key) => key === "Escape" && (leave(), true));
  const hidden = card.hidden_above + card.hidden_below;
  const facts = [
    ["Kind", card.kind],
    ["Owner", card.owner],
    ["Domain", card.domain],
    ["Data through", card.data_through],
    [
      "Also",
      [card.paused && "paused", card.quarantined && "quarantine"].filter(Boolean).join(", "),
    ],
    ["Not shown", hidden ? many(hidden, "neighbour") : null],
  ] as const;
  return (
    <aside className="drawer" aria-label={nameOf(card)}>
      <header className="row">
        <h2 ref={headingRef} tabIndex={-1}>
          {nameOf(card)}
        </h2>
        <button type="button" className="button" aria-label="Close" onClick={leave}>
          ×
        </button>
      </header>
      <p>
        <State of={stateOf(card)} />
        {card.incident && (
          <>
            {card.cause ? " cause of " : " "}
            <Link to={`/incidents/${card.incident}`}>{card.incident}</Link>
          </>
        )}
      </p>
      <dl>
        {facts.map(
          ([name, value]) =>
            value && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      <p className="row">
        <Link className="button" to={pageOf(card)}>
          Open its page
        </Link>
        <Link className="button" to={targetOf(card, address)}>
          Around it
        </Link>
        <Link
          className="button"
          to={`/graph?${new URLSearchParams({ mode: "blast", root: card.name, ...address.filters })}`}
        >
          All below it
        </Link>
      </p>
    </aside>
  );
}
