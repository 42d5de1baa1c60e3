// The catalog: sources and assets, filtered and sorted by the server.
import type { Schema } from "../../api/client";
import { usePages } from "../../api/responses";
import { useFilters } from "../../parts/filters";
import { Empty, Heading, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { MoreButton } from "../../parts/MoreButton";
import { FilterSelect, Select } from "../../parts/Select";
import { labelOf } from "../../parts/State";
import { AssetTable } from "./AssetTable";
import "../../parts/filters.css";
import "./asset.css";

type Catalog = Schema["CatalogResponse"];
const FILTERS = ["search", "kind", "state", "domain", "owner", "tag", "sort"] as const;
type Filter = (typeof FILTERS)[number];
type Query = Partial<Record<Filter, string>>;
const FACETS: readonly {
  filter: Filter;
  name: string;
  countsOf: (catalog: Catalog) => readonly Schema["CountedRow"][];
}[] = [
  { filter: "state", name: "State", countsOf: (catalog) => catalog.states },
  { filter: "kind", name: "Kind", countsOf: (catalog) => catalog.kinds },
  { filter: "domain", name: "Domain", countsOf: (catalog) => catalog.domains },
  { filter: "owner", name: "Owner", countsOf: (catalog) => catalog.owners },
  { filter: "tag", name: "Tag", countsOf: (catalog) => catalog.tags },
];
const SORTS = {
  name: "by name",
  state: "worst state first",
  owner: "by owner",
  domain: "by domain",
  published: "longest not published",
  use: "most read",
  cost: "most costly",
};

export function Assets() {
  usePageTitle("Assets");
  const { values: query, set, clear } = useFilters(FILTERS);
  const response = usePages("/api/v1/assets", (cursor) => ({
    query: { ...query, ...(cursor ? { cursor } : {}) },
  }));
  const first = response.pages[0];
  return (
    <div className="stack">
      <Heading title="Assets" subtitle="Sources and assets: how fresh each is, and who owns it." />
      <Search query={query} set={set} catalog={first} />
      {response.error && <Refusal problem={response.error} stale={!!first} />}
      {!first && !response.error && (
        <p className="empty" role="status">
          Loading…
        </p>
      )}
      {first && (
        <Panel title="Catalog" aside={<span role="status">{first.total} found</span>}>
          {first.total ? (
            <AssetTable rows={response.pages.flatMap((page) => page.nodes)} />
          ) : (
            <Nothing filtered={Object.keys(query).length > 0} clear={clear} />
          )}
          <MoreButton of={response} label="More" />
        </Panel>
      )}
    </div>
  );
}

function Search({
  query,
  set,
  catalog,
}: {
  query: Query;
  set: (name: Filter, value: string) => void;
  catalog: Catalog | undefined;
}) {
  return (
    <search className="filters">
      <label>
        Search
        <input
          className="input"
          type="search"
          value={query.search ?? ""}
          onChange={(event) => set("search", event.target.value)}
          placeholder="Name, description, tag…"
        />
      </label>
      {FACETS.map(({ filter, name, countsOf }) => {
        const counts = new Map(
          (catalog ? countsOf(catalog) : []).map((row) => [row.value, row.count]),
        );
        return (
          <FilterSelect
            key={filter}
            name={name}
            value={query[filter]}
            choices={[...counts.keys()]}
            textOf={(value) =>
              `${filter === "state" ? labelOf(value) : value} (${counts.get(value) ?? 0})`
            }
            choose={(value) => set(filter, value)}
          />
        );
      })}
      <Select
        name="Order"
        value={query.sort ?? "name"}
        choices={Object.entries(SORTS)}
        choose={(sort) => set("sort", sort)}
      />
    </search>
  );
}

function Nothing({ filtered, clear }: { filtered: boolean; clear: () => void }) {
  if (filtered)
    return (
      <Empty>
        Nothing is like that.{" "}
        <button type="button" className="button" onClick={clear}>
          Show all
        </button>
      </Empty>
    );
  return (
    <Empty>
      No source and no asset to show. Write one into <code>sources/</code> or <code>assets/</code>,
      then run <code>headrace apply</code>.
    </Empty>
  );
}
