// What a source or an asset is held to, and how that changed: any two versions beside each other.
import { Link, useParams, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import "../../parts/filters.css";
import "./contract.css";

type Shown = Schema["ContractShowResponse"];
type History = Schema["ContractHistoryResponse"];
type Promised = Schema["ContractColumnRow"];

/** Of those who use a column; the lineage of the asset shows all. */
const USERS_SHOWN = 3;

const COLUMNS: readonly Column<Promised>[] = [
  { name: "Column", cell: (one) => <span className="mono promised">{one.name}</span> },
  { name: "Type", cell: (one) => one.type ?? "" },
  { name: "Promised", className: "promised", cell: (one) => [one.primary_key && "key", one.unique && "unique", one.required && "never empty", one.classification].filter(Boolean).join(", ") },
  { name: "Files call it", cell: (one) => one.names.map((name) => [name.name, name.from && `from ${name.from}`].filter(Boolean).join(" ")).join("; ") },
  { name: "Used by", className: "why", cell: (one) => <Users names={one.used_by} /> },
];
const CHANGES: readonly Column<Schema["ContractChangeRow"]>[] = [
  { name: "What", cell: (one) => one.kind },
  { name: "Column", cell: (one) => <span className="mono">{one.column}{one.to && ` → ${one.to}`}</span> },
  { name: "Said", className: "why", cell: (one) => one.evidence.join("; ") },
  { name: "Takes", cell: (one) => one.takes && `a ${one.takes} version` },
];

function Users({ names }: { names: readonly string[] }) {
  if (!names.length) return <span className="muted">nobody</span>;
  const more = names.length - USERS_SHOWN;
  return <span title={names.join(", ")}>{names.slice(0, USERS_SHOWN).join(", ")}{more > 0 && <span className="muted"> and {more} more</span>}</span>;
}

export function Contract() {
  const { node = "" } = useParams();
  const [params] = useSearchParams();
  usePageTitle(`Contract of ${node}`);
  const chosen = Object.fromEntries(["earlier", "later"].flatMap((name) => (params.get(name) ? [[name, Number(params.get(name))]] : [])));
  return (
    <div className="stack">
      <Heading title={`Contract of ${node}`} said={<Link to={addressOf("asset", node)}>All of {node}</Link>} />
      <Loaded document={useResponse("/api/v1/contract/{node}", { path: { node } })}>{(shown) => <Promises shown={shown} />}</Loaded>
      <Loaded document={useResponse("/api/v1/contract/{node}/versions", { path: { node }, query: chosen })}>{(history) => (history.contract ? <Versions history={history} /> : null)}</Loaded>
    </div>
  );
}

function Promises({ shown }: { shown: Shown }) {
  return (
    <>
      {shown.contract
        ? <p>{shown.contract}, version <strong>{shown.version}</strong>, {shown.status}; in <code>{shown.file}</code>.</p>
        : <div className="notice"><div><p><strong>It has no contract.</strong> {shown.kind === "source" ? "Each delivery is held to what the first one had." : "Nothing is promised of it but its checks."}</p>{shown.kind === "source" && <p className="muted"><code>{`headrace contract infer ${shown.node}`}</code> writes one from what has arrived so far.</p>}</div></div>}
      <Panel title="Columns" aside={shown.columns.length}>
        {shown.columns.length ? <Table label="Columns" columns={COLUMNS} rows={shown.columns} keyOf={(one) => one.name} keys /> : <Empty>No column is promised.</Empty>}
      </Panel>
      {(shown.rules.length > 0 || shown.service.length > 0) && (
        <Panel title="Besides">
          <dl className="facts body">
            {shown.rules.map((one) => <Fact key={one.name} name={one.name} said={`${one.kind}, ${one.severity}`} />)}
            {shown.service.map((one) => <Fact key={one.property} name={one.property} said={`${one.value} ${one.unit}`} />)}
          </dl>
        </Panel>
      )}
    </>
  );
}

function Fact({ name, said }: { name: string; said: string }) {
  return <><dt>{name}</dt><dd>{said}</dd></>;
}

function Versions({ history }: { history: History }) {
  const [, setParams] = useSearchParams();
  const { versions, earlier, later } = history;
  const choose = (name: "earlier" | "later", value: string) => setParams((last) => ({ ...Object.fromEntries(last), [name]: value }), { replace: true, preventScrollReset: true });
  if (!versions.length) return <Panel title="History"><Empty>It isn’t applied yet: <code>headrace apply</code>.</Empty></Panel>;
  const named = versions.map((one) => ({ ...one, said: `${one.declared ?? "no contract"} (version ${one.version} of the project)` }));
  return (
    <Panel title="History" aside={many(versions.length, "version")}>
      <ol className="versions body">
        {named.map((one) => <li key={one.version}><strong>{one.declared ?? "no contract"}</strong> {one.status}, <Time at={one.at} /> by {one.by} {one.version !== versions.at(-1)!.version && <Link to={`?${new URLSearchParams({ later: String(one.version) })}`} replace preventScrollReset aria-current={one.version === later ? "true" : undefined}>what changed</Link>}</li>)}
      </ol>
      {versions.length > 1 && (
        <div className="row body">
          <label>From <select className="input inline" value={earlier ?? ""} onChange={(event) => choose("earlier", event.target.value)}>{earlier === null && <option value="">nothing</option>}{named.map((one) => <option key={one.version} value={one.version}>{one.said}</option>)}</select></label>
          <label>to <select className="input inline" value={later ?? ""} onChange={(event) => choose("later", event.target.value)}>{named.map((one) => <option key={one.version} value={one.version}>{one.said}</option>)}</select></label>
        </div>
      )}
      {earlier !== null && <Compared history={history} />}
    </Panel>
  );
}

function Compared({ history: { changes, breaking, lines } }: { history: History }) {
  return (
    <>
      <p className="body" role="status">{changes.length ? <>{many(changes.length, "promise")} changed{breaking ? <strong>, which breaks who relies on it</strong> : ", which breaks nobody"}.</> : "It promises the same."}</p>
      {changes.length > 0 && <Table label="What changed" columns={CHANGES} rows={changes} keyOf={(one) => `${one.kind} ${one.column} ${one.evidence.join()}`} />}
      {lines.some((one) => one.kind !== "same") && (
        <details className="body" open={lines.length < 200}>
          <summary>The text, line by line</summary>
          <pre className="diff" tabIndex={0} aria-label="The text, line by line">{lines.map((one, index) => <span key={index} className={one.kind}>{MARKS[one.kind]} {one.text}{"\n"}</span>)}</pre>
        </details>
      )}
    </>
  );
}

const MARKS: Record<string, string> = { same: " ", removed: "−", added: "+" };
