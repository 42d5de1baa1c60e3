// The graph as views of a few dozen cards: domains, what is around a node, what an incident reaches. The list beside it says the same.
import { ReactFlowProvider } from "@xyflow/react";
import { Link, useNavigate, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { useKeys } from "../../app/keys";
import { Heading, Loaded, usePageTitle } from "../../parts/Page";
import { Shape, toneOf } from "../../parts/State";
import { Canvas } from "./Canvas";
import { useColumnLineage, type ColumnLineage } from "./columnLineage";
import { detailOf, isGroup, nameOf, targetOf, pageOf, stateOf, type Card } from "./card";
import "../../parts/filters.css";
import "./graph.css";

const HOPS_MAX = 10;

export function Graph() {
  usePageTitle("Graph");
  const [params, setParams] = useSearchParams();
  const mode = params.get("mode") ?? "domains";
  const root = params.get("root");
  const hops = Math.min(Math.max(Number(params.get("hops") ?? 2) || 0, 0), HOPS_MAX);
  const response = useResponse("/api/v1/graph/view", {
    query: { mode, hops, ...(root ? { root } : {}) },
  });
  const column = mode === "focus" ? (params.get("column") ?? "") : "";
  const lineage = useColumnLineage(root ?? "", column);
  const setHops = (next: number) =>
    setParams(
      { ...Object.fromEntries(params), hops: `${Math.min(Math.max(next, 0), HOPS_MAX)}` },
      { replace: true },
    );
  const navigate = useNavigate();
  useKeys((key) => {
    if (mode === "focus" && key === "[") return (setHops(hops - 1), true);
    if (mode === "focus" && key === "]") return (setHops(hops + 1), true);
    if (key === "Backspace") return (void navigate(-1), true);
    return false;
  });

  return (
    <div className="stack graph-page">
      <Heading
        title={titleOf(mode, root)}
        subtitle={
          response.data &&
          `${response.data.shown || response.data.cards.length} shown of ${response.data.total} nodes`
        }
      >
        {mode === "focus" && (
          <span className="row" role="group" aria-label="Steps around it">
            <button
              type="button"
              className="button"
              onClick={() => setHops(hops - 1)}
              disabled={hops === 0}
              aria-label="One step less"
            >
              −
            </button>
            {hops} {hops === 1 ? "step" : "steps"}
            <button
              type="button"
              className="button"
              onClick={() => setHops(hops + 1)}
              disabled={hops === HOPS_MAX}
              aria-label="One step more"
            >
              +
            </button>
          </span>
        )}
        {root && mode === "focus" && (
          <Columns
            root={root}
            column={column}
            choose={(next) =>
              setParams(
                { mode, root, hops: `${hops}`, ...(next ? { column: next } : {}) },
                { replace: true },
              )
            }
          />
        )}
        {root && mode === "focus" && (
          <Link className="button" to={`/graph?${new URLSearchParams({ mode: "blast", root })}`}>
            All below it
          </Link>
        )}
        {mode !== "domains" && (
          <Link className="button" to="/graph">
            Domains
          </Link>
        )}
      </Heading>
      <Loaded document={response}>
        {(view) => (
          <div className="graph">
            <section className="panel canvas" aria-label="Graph">
              <ReactFlowProvider key={`${mode} ${root ?? ""}`}>
                <Canvas view={view} lineage={lineage} />
              </ReactFlowProvider>
            </section>
            <GraphList view={view} lineage={lineage} />
          </div>
        )}
      </Loaded>
    </div>
  );
}

/** Which column to follow; nothing of a consumer, which has none. */
function Columns({
  root,
  column,
  choose,
}: {
  root: string;
  column: string;
  choose: (column: string) => void;
}) {
  const columns =
    useResponse("/api/v1/assets/{name}", { path: { name: root } }).data?.columns ?? [];
  if (!columns.length) return null;
  return (
    <label>
      Follow{" "}
      <select
        className="input inline"
        value={column}
        onChange={(event) => choose(event.target.value)}
      >
        <option value="">no column</option>
        {columns.map((column) => (
          <option key={column.name} value={column.name}>
            {column.name}
          </option>
        ))}
      </select>
    </label>
  );
}

function titleOf(mode: string, root: string | null): string {
  if (mode === "focus") return `Around ${root ?? ""}`;
  return mode === "blast" ? `What ${root ?? ""} reaches` : "Graph";
}

/** The same as the cards, as a list. */
function GraphList({
  view,
  lineage,
}: {
  view: Schema["GraphView"];
  lineage: ColumnLineage | null;
}) {
  const groups = [
    ["Before it", view.cards.filter((card) => card.steps < 0)],
    [view.root ? "After it" : "Domains", view.cards.filter((card) => card.steps > 0 || !view.root)],
  ] as const;
  const root = view.cards.find((card) => card.id === view.root);
  return (
    <nav className="panel mirror" aria-label="Graph as list">
      {root && (
        <section>
          <h2>{root.kind}</h2>
          <ul>
            <Entry card={root} columns={lineage?.get(root.name)} />
          </ul>
        </section>
      )}
      {groups.map(
        ([title, cards]) =>
          cards.length > 0 && (
            <section key={title}>
              <h2>
                {title} <span className="muted small">{cards.length}</span>
              </h2>
              <ul>
                {cards
                  .toSorted(
                    (a, b) => Math.abs(a.steps) - Math.abs(b.steps) || a.name.localeCompare(b.name),
                  )
                  .map((card) => (
                    <Entry key={card.id} card={card} columns={lineage?.get(card.name)} />
                  ))}
              </ul>
            </section>
          ),
      )}
    </nav>
  );
}

function Entry({ card, columns }: { card: Card; columns: readonly string[] | undefined }) {
  const state = stateOf(card);
  return (
    <li>
      <span className={`tone-${toneOf(state)}`}>
        <Shape of={toneOf(state)} state={state} />
      </span>
      <span>
        <Link to={targetOf(card)}>{nameOf(card)}</Link>
        {!isGroup(card) && (
          <>
            {" "}
            <Link className="small" to={pageOf(card)} aria-label={`Page of ${card.name}`}>
              page
            </Link>
          </>
        )}
        <span className="muted small detail">
          {isGroup(card)
            ? detailOf(card)
            : [state.replaceAll("_", " "), detailOf(card)].filter(Boolean).join(" · ")}
        </span>
        {columns && <span className="small detail mono">{columns.join(", ")}</span>}
      </span>
    </li>
  );
}
