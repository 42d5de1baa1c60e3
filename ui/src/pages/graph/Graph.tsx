// The graph: all nodes of a small project, groups of a larger one, what is around a node, what an incident reaches. The list beside it says the same.
import { ReactFlowProvider } from "@xyflow/react";
import { useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { useKeys } from "../../app/keys";
import { NearestNames } from "../../parts/NearestNames";
import { Empty, Heading, Loaded, usePageTitle } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Shape, toneOf } from "../../parts/State";
import { useFilters } from "../../parts/filters";
import { many } from "../../parts/words";
import { Absent, AsItStood, OpenPast } from "./AsItStood";
import { Canvas } from "./Canvas";
import { Drawer } from "./Drawer";
import { FILTERS, Filters } from "./Filters";
import { useColumnLineage, type ColumnLineage } from "./columnLineage";
import {
  GROUPINGS,
  detailOf,
  isGroup,
  nameOf,
  overviewOf,
  pageOf,
  stateOf,
  targetOf,
  type Card,
  type Address,
} from "./card";
import { asksForPast, isOfPast, usePast, usePlayer } from "./past";
import { isoOf, withoutMatches } from "./replay";
import "../../parts/filters.css";
import "./graph.css";

export { prepareLayout } from "./layout";

const HOPS_MAX = 10;

export function Graph() {
  usePageTitle("Graph");
  const [params, setParams] = useSearchParams();
  const mode = params.get("mode") ?? "overview";
  const root = params.get("root");
  const by = params.get("by");
  const { values: filters, set: setFilter } = useFilters(FILTERS);
  const search = new URLSearchParams(filters).toString();
  const past = usePast();
  // Links within the graph stay at the time that is shown.
  const kept = {
    ...filters,
    ...Object.fromEntries([...params].filter(([name]) => isOfPast(name))),
  };
  const address: Address = { open: params.getAll("open"), filters: kept };
  const hops = Math.min(Math.max(Number(params.get("hops") ?? 2) || 0, 0), HOPS_MAX);
  const response = useResponse(
    "/api/v1/graph/view",
    {
      query: {
        mode,
        hops,
        ...(root ? { root } : {}),
        ...(by ? { by } : {}),
        open: [...address.open],
        ...filters,
        ...(past ? { at: isoOf(past.at) } : {}),
      },
    },
    past !== null || !asksForPast(params),
  );
  const player = usePlayer(past, response);
  // a replayed state may match a filter or no longer; only the server says which nodes do
  const view =
    filters.state && player.view !== response.data ? withoutMatches(player.view) : player.view;
  const stays = view !== undefined && isOf(view, mode, root, past !== null) && !response.error;
  const column = mode === "focus" && !past ? (params.get("column") ?? "") : "";
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
          view &&
          [
            `${view.shown || view.cards.length} shown of ${view.total} nodes`,
            typeof view.matching === "number" && many(view.matching, "match", "matches"),
            stays && response.isPlaceholderData && "loading…",
          ]
            .filter(Boolean)
            .join(" · ")
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
        {root && mode === "focus" && !past && (
          <Columns
            root={root}
            column={column}
            choose={(next) =>
              setParams(
                { mode, root, hops: `${hops}`, ...(next ? { column: next } : {}), ...filters },
                { replace: true },
              )
            }
          />
        )}
        {root && mode === "focus" && (
          <Link
            className="button"
            to={`/graph?${new URLSearchParams({ mode: "blast", root, ...kept })}`}
          >
            All below it
          </Link>
        )}
        {mode === "overview" && response.data && (
          <Grouping
            by={by ?? response.data.by}
            whole={response.data.by === null || by !== null}
            filters={kept}
          />
        )}
        {mode !== "overview" && (
          <Link className="button" to={`/graph?${new URLSearchParams(kept)}`}>
            Whole graph
          </Link>
        )}
        {!past && <OpenPast />}
      </Heading>
      <Filters values={filters} set={setFilter} view={view} />
      {view && view.found.length > 0 && <Found view={view} address={address} />}
      {past && <AsItStood past={past} player={player} />}
      {stays ? (
        <Drawn
          view={view}
          lineage={lineage}
          address={address}
          search={search}
          loading={response.isPlaceholderData}
        />
      ) : (
        <Loaded document={response}>
          {(loaded) => <Drawn view={loaded} lineage={lineage} address={address} search={search} />}
        </Loaded>
      )}
      {root && response.error?.status === 404 && <NearestNames to={root} />}
    </div>
  );
}

/** Matches that stand in groups, which a view can't show without opening them. */
function Found({ view, address }: { view: Schema["GraphView"]; address: Address }) {
  return (
    <p>
      In groups:{" "}
      {view.found.map((name, index) => (
        <span key={name}>
          {index > 0 && ", "}
          <Link
            to={`/graph?${new URLSearchParams({ mode: "focus", root: name, ...address.filters })}`}
          >
            {name}
          </Link>
        </span>
      ))}
      {(view.matching ?? 0) > view.found.length &&
        ` of ${many(view.matching ?? 0, "match", "matches")}`}
    </p>
  );
}

/** The graph and its list. */
function Drawn({
  view,
  lineage,
  address,
  search,
  loading = false,
}: {
  view: Schema["GraphView"];
  lineage: ColumnLineage | null;
  address: Address;
  /** The search of the address, which the view has once it isn't loading. */
  search: string;
  /** Whether it is shown until another one has come. */
  loading?: boolean;
}) {
  const navigate = useNavigate();
  const [chosen, setChosen] = useState<string | null>(null);
  const card = view.cards.find(({ id }) => id === chosen);
  const [found, setFound] = useState(search);
  if (!loading && found !== search) setFound(search);
  if (view.note) return <Absent view={view} />;
  if (!view.total)
    return (
      <Empty>
        No source and no asset to show. Write one into <code>sources/</code> or <code>assets/</code>
        , then run <code>headrace apply</code>.
      </Empty>
    );
  return (
    <div className={view.at ? "graph past" : "graph"} aria-busy={loading}>
      <section className="panel canvas" aria-label={view.at ? "Graph, as it stood" : "Graph"}>
        <ReactFlowProvider key={`${view.mode} ${view.root ?? ""}`}>
          <Canvas
            view={view}
            lineage={lineage}
            open={(opened) => {
              if (isGroup(opened)) void navigate(targetOf(opened, address));
              else setChosen(opened.id);
            }}
            search={found}
          />
        </ReactFlowProvider>
        {card && (
          <Drawer key={card.id} card={card} address={address} close={() => setChosen(null)} />
        )}
      </section>
      <GraphList view={view} lineage={lineage} address={address} />
    </div>
  );
}

/**
 * Whether a view is the one that was asked for but for its time, its filters, its groups or its
 * steps: it stays until the other one has come, so that nothing flickers.
 */
function isOf(
  view: Schema["GraphView"],
  mode: string,
  root: string | null,
  past: boolean,
): boolean {
  const shown = view.root === null ? null : view.root.replace(/^[a-z]+:/, "");
  // the view of an incident has the node where it arose as its root
  const same = shown === root || (shown !== null && /^INC-\d+$/i.test(root ?? ""));
  return Boolean(view.at) === past && view.mode === mode && same;
}

/** What the nodes are grouped by. A project of few nodes can be shown without groups. */
function Grouping({
  by,
  whole,
  filters,
}: {
  by: string | null;
  whole: boolean;
  filters: Address["filters"];
}) {
  const navigate = useNavigate();
  return (
    <Select
      name="Group by"
      value={by ?? ""}
      choices={[
        ...(whole ? [["", "nothing"] as const] : []),
        ...Object.keys(GROUPINGS).map((grouping) => [grouping, grouping] as const),
      ]}
      choose={(grouping) =>
        void navigate(
          grouping
            ? overviewOf(grouping, { open: [], filters })
            : `/graph?${new URLSearchParams(filters)}`,
        )
      }
      inline
    />
  );
}

/** The groups whose nodes are shown one by one; each can be closed again. */
function OpenGroups({ by, address }: { by: string; address: Address }) {
  return (
    <section>
      <h2>
        Open <span className="muted small">{address.open.length}</span>
      </h2>
      <ul>
        {address.open.map((group) => (
          <li key={group}>
            <span aria-hidden="true">×</span>
            <Link
              to={overviewOf(by, {
                ...address,
                open: address.open.filter((other) => other !== group),
              })}
            >
              Close {group || "those without one"}
            </Link>
          </li>
        ))}
      </ul>
    </section>
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
    <Select
      name="Follow"
      value={column}
      choices={[["", "no column"], ...columns.map(({ name }) => [name, name] as const)]}
      choose={choose}
      inline
    />
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
  address,
}: {
  view: Schema["GraphView"];
  lineage: ColumnLineage | null;
  address: Address;
}) {
  const groups = view.root
    ? ([
        ["Before it", view.cards.filter((card) => card.steps < 0)],
        ["After it", view.cards.filter((card) => card.steps > 0)],
      ] as const)
    : ([
        [GROUPINGS[view.by ?? ""] ?? "Groups", view.cards.filter((card) => isGroup(card))],
        ["Nodes", view.cards.filter((card) => !isGroup(card))],
      ] as const);
  const root = view.cards.find((card) => card.id === view.root);
  return (
    <nav className="panel mirror" aria-label="Graph as list">
      {root && (
        <section>
          <h2>{root.kind}</h2>
          <ul>
            <Entry card={root} columns={lineage?.get(root.name)} address={address} />
          </ul>
        </section>
      )}
      {view.by !== null && address.open.length > 0 && <OpenGroups by={view.by} address={address} />}
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
                    (a, b) =>
                      Number(!a.matching) - Number(!b.matching) ||
                      Math.abs(a.steps) - Math.abs(b.steps) ||
                      a.name.localeCompare(b.name),
                  )
                  .map((card) => (
                    <Entry
                      key={card.id}
                      card={card}
                      columns={lineage?.get(card.name)}
                      address={address}
                    />
                  ))}
              </ul>
            </section>
          ),
      )}
    </nav>
  );
}

function Entry({
  card,
  columns,
  address,
}: {
  card: Card;
  columns: readonly string[] | undefined;
  address: Address;
}) {
  const state = stateOf(card);
  return (
    <li className={card.matching ? "matching" : undefined}>
      <span className={`tone-${toneOf(state)}`}>
        <Shape of={toneOf(state)} state={state} />
      </span>
      <span>
        <Link to={targetOf(card, address)}>{nameOf(card)}</Link>
        {!isGroup(card) && card.matching === 1 && (
          <span className="visually-hidden">, matches</span>
        )}
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
