// The catalog: sources and assets by what is searched for. What is asked stands in the address.
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { usePages } from "../../api/responses";
import { Empty, Heading, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { wordOf } from "../../parts/State";
import { AssetTable } from "./AssetTable";
import "../../parts/filters.css";
import "./asset.css";

type Catalog = Schema["CatalogResponse"];
const ASKED = ["search", "kind", "state", "domain", "owner", "tag", "sort"] as const;
type Asked = (typeof ASKED)[number];
const FACETS: readonly { asked: Asked; name: string; of: (catalog: Catalog) => readonly Schema["CountedRow"][] }[] = [
  { asked: "state", name: "State", of: (catalog) => catalog.states },
  { asked: "kind", name: "Kind", of: (catalog) => catalog.kinds },
  { asked: "domain", name: "Domain", of: (catalog) => catalog.domains },
  { asked: "owner", name: "Owner", of: (catalog) => catalog.owners },
  { asked: "tag", name: "Tag", of: (catalog) => catalog.tags },
];
const SORTS = { name: "by name", state: "worst state first", owner: "by owner", domain: "by domain", published: "longest not published", use: "most read", cost: "most costly" };

export function Assets() {
  usePageTitle("Assets");
  const [params, setParams] = useSearchParams();
  const query = Object.fromEntries(ASKED.flatMap((name) => (params.get(name) ? [[name, params.get(name)!]] : [])));
  const found = usePages("/api/v1/assets", (cursor) => ({ query: { ...query, ...(cursor ? { cursor } : {}) } }));
  const ask = (name: Asked, value: string) => setParams((last) => {
    const { [name]: _, ...rest } = Object.fromEntries(last);
    return value ? { ...rest, [name]: value } : rest;
  }, { replace: true, preventScrollReset: true });
  const first = found.pages[0];
  return (
    <div className="stack">
      <Heading title="Assets" said="Sources and what is made of them: how fresh each is, and whose it is." />
      <Search params={params} ask={ask} catalog={first} />
      {found.error && <Refusal problem={found.error as never} stale={!!first} />}
      {!first && !found.error && <p className="empty" role="status">Loading…</p>}
      {first && (
        <Panel title="Catalog" aside={<span role="status">{first.total} found</span>}>
          {first.total ? <AssetTable rows={found.pages.flatMap((page) => page.nodes)} /> : <Nothing asked={Object.keys(query).length > 0} clear={() => setParams({}, { replace: true })} />}
          {found.hasNextPage && <p className="body"><button type="button" className="button" onClick={() => void found.fetchNextPage()} disabled={found.isFetchingNextPage}>More</button></p>}
        </Panel>
      )}
    </div>
  );
}

function Search({ params, ask, catalog }: { params: URLSearchParams; ask: (name: Asked, value: string) => void; catalog: Catalog | undefined }) {
  return (
    <search className="filters">
      <label>Search<input className="input" type="search" value={params.get("search") ?? ""} onChange={(event) => ask("search", event.target.value)} placeholder="Name, description, tag…" /></label>
      {FACETS.map(({ asked, name, of }) => <Choice key={asked} name={name} value={params.get(asked) ?? ""} choices={catalog ? of(catalog) : []} choose={(value) => ask(asked, value)} />)}
      <label>Order
        <select className="input" value={params.get("sort") ?? "name"} onChange={(event) => ask("sort", event.target.value)}>
          {Object.entries(SORTS).map(([sort, said]) => <option key={sort} value={sort}>{said}</option>)}
        </select>
      </label>
    </search>
  );
}

/** What is chosen stays a choice where nothing matches it any more. */
function Choice({ name, value, choices, choose }: { name: string; value: string; choices: readonly Schema["CountedRow"][]; choose: (value: string) => void }) {
  if (!choices.length && !value) return null;
  return (
    <label>{name}
      <select className="input" value={value} onChange={(event) => choose(event.target.value)}>
        <option value="">any</option>
        {value && !choices.some((one) => one.value === value) && <option value={value}>{wordOf(value)} (0)</option>}
        {choices.map((one) => <option key={one.value} value={one.value}>{name === "State" ? wordOf(one.value) : one.value} ({one.count})</option>)}
      </select>
    </label>
  );
}

function Nothing({ asked, clear }: { asked: boolean; clear: () => void }) {
  if (asked) return <Empty>Nothing is like that. <button type="button" className="button" onClick={clear}>Show all</button></Empty>;
  return <Empty>No source and no asset is applied yet: write one into <code>sources/</code> or <code>assets/</code>, then <code>headrace apply</code>.</Empty>;
}
