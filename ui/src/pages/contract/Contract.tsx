// What a source or an asset is held to, and how that changed: any two versions beside each other.
import { Link, useParams, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Empty, Heading, Loaded, Panel, usePageTitle } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { many } from "../../parts/words";
import "../../parts/filters.css";
import "./contract.css";

type ContractShow = Schema["ContractShowResponse"];
type History = Schema["ContractHistoryResponse"];
type Promised = Schema["ContractColumnRow"];

/** Of those who use a column; the lineage of the asset shows all. */
const USERS_SHOWN = 3;

const COLUMNS: readonly Column<Promised>[] = [
  { name: "Column", cell: (row) => <span className="mono promised">{row.name}</span> },
  { name: "Type", cell: (row) => row.type ?? "" },
  {
    name: "Promised",
    className: "promised",
    cell: (row) =>
      [
        row.primary_key && "key",
        row.unique && "unique",
        row.required && "never empty",
        row.classification,
      ]
        .filter(Boolean)
        .join(", "),
  },
  {
    name: "Names in files",
    cell: (row) =>
      row.names
        .map((name) => [name.name, name.from && `from ${name.from}`].filter(Boolean).join(" "))
        .join("; "),
  },
  { name: "Used by", className: "why", cell: (row) => <Users names={row.used_by} /> },
];
const CHANGES: readonly Column<Schema["ContractChangeRow"]>[] = [
  { name: "What", cell: (row) => row.kind },
  {
    name: "Column",
    cell: (row) => (
      <span className="mono">
        {row.column}
        {row.to && ` → ${row.to}`}
      </span>
    ),
  },
  { name: "Evidence", className: "why", cell: (row) => row.evidence.join("; ") },
  { name: "Takes", cell: (row) => row.takes && `a ${row.takes} version` },
];

function Users({ names }: { names: readonly string[] }) {
  if (!names.length) return <span className="muted">nobody</span>;
  const more = names.length - USERS_SHOWN;
  return (
    <span title={names.join(", ")}>
      {names.slice(0, USERS_SHOWN).join(", ")}
      {more > 0 && <span className="muted"> and {more} more</span>}
    </span>
  );
}

export function Contract() {
  const { node = "" } = useParams();
  const [params] = useSearchParams();
  usePageTitle(`Contract of ${node}`);
  const chosen = Object.fromEntries(
    ["earlier", "later"].flatMap((name) =>
      params.get(name) ? [[name, Number(params.get(name))]] : [],
    ),
  );
  const versions = useResponse("/api/v1/contract/{node}/versions", {
    path: { node },
    query: chosen,
  });
  return (
    <Loaded
      document={useResponse("/api/v1/contract/{node}", { path: { node } })}
      heading={`Contract of ${node}`}
      name={node}
    >
      {(contract) => (
        <div className="stack">
          <Heading
            title={`Contract of ${node}`}
            subtitle={<Link to={addressOf("asset", node)}>All of {node}</Link>}
          />
          <Promises contract={contract} />
          <Loaded document={versions}>
            {(history) => (history.contract ? <Versions history={history} /> : null)}
          </Loaded>
        </div>
      )}
    </Loaded>
  );
}

function Promises({ contract }: { contract: ContractShow }) {
  return (
    <>
      {contract.contract ? (
        <p>
          {contract.contract}, version <strong>{contract.version}</strong>, {contract.status}; in{" "}
          <code>{contract.file}</code>.
        </p>
      ) : (
        <div className="notice">
          <div>
            <p>
              <strong>It has no contract.</strong>{" "}
              {contract.kind === "source"
                ? "Each delivery is held to what the first one had."
                : "Nothing is promised of it but its checks."}
            </p>
            {contract.kind === "source" && (
              <p className="muted">
                <code>{`headrace contract infer ${contract.node}`}</code> writes one from what has
                arrived so far.
              </p>
            )}
          </div>
        </div>
      )}
      <Panel title="Columns" aside={contract.columns.length}>
        {contract.columns.length ? (
          <Table
            label="Columns"
            columns={COLUMNS}
            rows={contract.columns}
            keyOf={(row) => row.name}
            keys
          />
        ) : (
          <Empty>No column is promised.</Empty>
        )}
      </Panel>
      {(contract.rules.length > 0 || contract.service.length > 0) && (
        <Panel title="Other promises">
          <dl className="facts body">
            {contract.rules.map((rule) => (
              <Fact key={rule.name} name={rule.name} text={`${rule.kind}, ${rule.severity}`} />
            ))}
            {contract.service.map((row) => (
              <Fact key={row.property} name={row.property} text={`${row.value} ${row.unit}`} />
            ))}
          </dl>
        </Panel>
      )}
    </>
  );
}

function Fact({ name, text }: { name: string; text: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{text}</dd>
    </>
  );
}

function Versions({ history }: { history: History }) {
  const [, setParams] = useSearchParams();
  const { versions, earlier, later } = history;
  const choose = (name: "earlier" | "later", value: string) =>
    setParams((last) => ({ ...Object.fromEntries(last), [name]: value }), {
      replace: true,
      preventScrollReset: true,
    });
  if (!versions.length)
    return (
      <Panel title="History">
        <Empty>
          It isn’t applied yet: <code>headrace apply</code>.
        </Empty>
      </Panel>
    );
  const named = versions.map((version) => ({
    ...version,
    label: `${version.declared ?? "no contract"} (version ${version.version} of the project)`,
  }));
  const choices = named.map(({ version, label }) => [`${version}`, label] as const);
  return (
    <Panel title="History" aside={many(versions.length, "version")}>
      <ol className="versions body">
        {named.map((row) => (
          <li key={row.version}>
            <strong>{row.declared ?? "no contract"}</strong> {row.status}, <Time at={row.at} /> by{" "}
            {row.by}{" "}
            {row.version !== versions.at(-1)?.version && (
              <Link
                to={`?${new URLSearchParams({ later: String(row.version) })}`}
                replace
                preventScrollReset
                aria-current={row.version === later ? "true" : undefined}
              >
                what changed
              </Link>
            )}
            {row.agreed.map((item) => (
              <p key={item.by} className="muted small">
                {item.by} agreed for {item.domains.join(", ")}: {item.reason}
              </p>
            ))}
          </li>
        ))}
      </ol>
      {versions.length > 1 && (
        <div className="row body">
          <Select
            name="From"
            value={`${earlier ?? ""}`}
            choices={earlier === null ? [["", "nothing"], ...choices] : choices}
            choose={(version) => choose("earlier", version)}
            inline
          />
          <Select
            name="to"
            value={`${later ?? ""}`}
            choices={choices}
            choose={(version) => choose("later", version)}
            inline
          />
        </div>
      )}
      {earlier !== null && <Compared history={history} />}
    </Panel>
  );
}

function Compared({ history: { changes, breaking, lines } }: { history: History }) {
  return (
    <>
      <p className="body" role="status">
        {changes.length ? (
          <>
            {many(changes.length, "promise")} changed
            {breaking ? <strong>, which breaks who relies on it</strong> : ", which breaks nobody"}.
          </>
        ) : (
          "It promises the same."
        )}
      </p>
      {changes.length > 0 && (
        <Table
          label="What changed"
          columns={CHANGES}
          rows={changes}
          keyOf={(row) => `${row.kind} ${row.column} ${row.evidence.join()}`}
        />
      )}
      {lines.some((line) => line.kind !== "same") && (
        <details className="body" open={lines.length < 200}>
          <summary>Line differences</summary>
          <pre className="diff" tabIndex={0} role="group" aria-label="Line differences">
            {lines.map((line, index) => (
              // eslint-disable-next-line @eslint-react/no-array-index-key -- a line of a text has nothing but its number
              <span key={index} className={line.kind}>
                {MARKS[line.kind]} {line.text}
                {"\n"}
              </span>
            ))}
          </pre>
        </details>
      )}
    </>
  );
}

const MARKS: Record<string, string> = { same: " ", removed: "−", added: "+" };
