// The file that declares a node, as it was applied: its versions, what changed in each, and what runs.
// Of a SQL asset also its query with the values of one partition.
import { lazy, Suspense, useState } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Difference } from "../../parts/Difference";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { useFilters } from "../../parts/filters";
import { cellText } from "../../parts/values";
import { visibleLines } from "../../parts/visible";
import { partitionName } from "../../parts/partitions";
import { renderedSql } from "./renderedSql";

const Highlighted = lazy(() => import("../../parts/Highlighted"));

type Version = Schema["CodeVersionRow"];
type Input = Schema["RenderInput"];

export function Code({ name, asset }: { name: string; asset: boolean }) {
  const [params] = useSearchParams();
  const numbers = { version: Number(params.get("version")), since: Number(params.get("since")) };
  const query = Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0));
  const { values, set } = useFilters(["text"]);
  return (
    <Loaded document={useResponse("/api/v1/assets/{name}/code", { path: { name }, query })}>
      {(code) => {
        const sql = asset && code.language === "sql" && !code.hidden;
        const rendered = sql && values.text === "rendered";
        return (
          <>
            {sql && <Texts rendered={rendered} choose={(text) => set("text", text)} />}
            {rendered && <Runs name={name} sql />}
            {!rendered && code.difference && (
              <Panel
                title={`Changes from version ${code.difference.since} to ${code.version ?? ""}`}
              >
                <div className="body">
                  <Difference of={code.file} {...code.difference} />
                </div>
              </Panel>
            )}
            {!rendered && <Text code={code} />}
            {code.versions.length > 0 && (
              <Panel title="Versions" aside="those in which the file changed, newest first">
                <Table
                  label="Versions"
                  columns={columnsOf(code)}
                  rows={code.versions}
                  keyOf={(row) => `${row.version}`}
                />
              </Panel>
            )}
            {asset && !rendered && code.text !== null && <Runs name={name} />}
          </>
        );
      }}
    </Loaded>
  );
}

function Texts({ rendered, choose }: { rendered: boolean; choose: (text: string) => void }) {
  return (
    <div className="row" role="group" aria-label="Text">
      <button type="button" className="button" aria-pressed={!rendered} onClick={() => choose("")}>
        Written
      </button>
      <button
        type="button"
        className="button"
        aria-pressed={rendered}
        onClick={() => choose("rendered")}
      >
        Rendered
      </button>
    </div>
  );
}

function Text({ code }: { code: Schema["CodeResponse"] }) {
  const version = code.version === null ? "" : `, as of version ${code.version} of the project`;
  return (
    <Panel title={`${code.file}:${code.line}`} aside={`${code.language}${version}`}>
      {code.text === null ? (
        <Empty>
          {code.hidden ? (
            "The file also declares nodes that your roles don’t show."
          ) : (
            <>
              It was never applied, or is no text. <code>headrace apply</code> puts it into force.
            </>
          )}
        </Empty>
      ) : (
        <Coloured label="Code" text={code.text} language={code.language} />
      )}
    </Panel>
  );
}

function Coloured({ label, text, language }: { label: string; text: string; language: string }) {
  return (
    <pre className="code" tabIndex={0} role="group" aria-label={label}>
      <Suspense fallback={<code>{visibleLines(text)}</code>}>
        <Highlighted text={text} language={language} />
      </Suspense>
    </pre>
  );
}

function columnsOf(code: Schema["CodeResponse"]): readonly Column<Version>[] {
  const before = new Map(code.versions.map((row, index) => [row, code.versions[index + 1]]));
  const address = (version: number, since?: number) =>
    `?${new URLSearchParams({
      part: "code",
      version: `${version}`,
      ...(since === undefined ? {} : { since: `${since}` }),
    })}`;
  return [
    {
      name: "Version",
      cell: (row) => (
        <Link
          to={address(row.version)}
          preventScrollReset
          aria-current={row.version === code.version ? "true" : undefined}
        >
          {row.version}
        </Link>
      ),
    },
    { name: "Applied", cell: (row) => <Time at={row.at} /> },
    { name: "By", cell: (row) => row.by },
    { name: "Plan", cell: (row) => row.plan_id && <code>{row.plan_id}</code> },
    {
      name: "Changes",
      cell: (row) => {
        const older = before.get(row);
        return (
          older && (
            <Link to={address(row.version, older.version)}>
              {older.version} to {row.version}
            </Link>
          )
        );
      },
    },
  ];
}

const INPUTS: readonly Column<Input>[] = [
  { name: "Input", cell: (row) => <Link to={addressOf("asset", row.node)}>{row.node}</Link> },
  { name: "How", cell: (row) => row.mode },
  {
    name: "Partitions",
    cell: (row) => row.partitions?.map(partitionName).join(", ") ?? "all that is published",
  },
  {
    name: "Published",
    className: "number",
    cell: (row) =>
      row.partitions === null ? row.published : `${row.published} of ${row.partitions.length}`,
  },
];

/** What one partition's query is bound to and which inputs it reads; with `sql` the query, too. */
function Runs({ name, sql = false }: { name: string; sql?: boolean }) {
  const [written, setWritten] = useState("");
  const [partition, setPartition] = useState("");
  const target = partition ? `${name}@${partition}` : name;
  return (
    <Panel
      title={sql ? "Rendered SQL" : "Parameters and inputs"}
      aside="by the files as they are now"
    >
      <form
        className="body row"
        onSubmit={(event) => {
          event.preventDefault();
          setPartition(written.trim());
        }}
      >
        <label>
          Partition{" "}
          <input
            className="input inline"
            placeholder="newest"
            maxLength={200}
            value={written}
            onChange={(event) => setWritten(event.target.value)}
          />
        </label>
        <button type="submit" className="button">
          Show
        </button>
      </form>
      <Loaded document={useResponse("/api/v1/render/{target}", { path: { target } })}>
        {(render) => (
          <>
            {sql && <Query render={render} />}
            <Bound render={render} />
          </>
        )}
      </Loaded>
    </Panel>
  );
}

function Query({ render }: { render: Schema["RenderResponse"] }) {
  const bound = Object.keys(render.parameters).length > 0;
  return (
    <>
      <Coloured
        label="Rendered SQL"
        text={renderedSql(render.text, render.parameters)}
        language="sql"
      />
      {bound && (
        <p className="body muted">
          Values are written in place of <code>$names</code> for reading; the query gets them as
          parameters.
        </p>
      )}
    </>
  );
}

function Bound({ render }: { render: Schema["RenderResponse"] }) {
  const values = Object.entries(render.parameters);
  return (
    <>
      <dl className="body facts">
        <dt>Partition</dt>
        <dd className="mono">{partitionName(render.partition)}</dd>
        {values.map(([name, value]) => (
          <div key={name} style={{ display: "contents" }}>
            <dt className="mono">${name}</dt>
            <dd className="mono">{cellText(value)}</dd>
          </div>
        ))}
      </dl>
      {render.inputs.length > 0 && (
        <Table label="Inputs" columns={INPUTS} rows={render.inputs} keyOf={(row) => row.node} />
      )}
    </>
  );
}
