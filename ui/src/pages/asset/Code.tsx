// The file that declares a node, as it was applied: its versions, what changed in each, and what runs.
import { lazy, Suspense, useState } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Difference } from "../../parts/Difference";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { cellText } from "../../parts/values";
import { visibleLines } from "../../parts/visible";
import { partitionName } from "../../parts/partitions";

const Highlighted = lazy(() => import("../../parts/Highlighted"));

type Version = Schema["CodeVersionRow"];
type Input = Schema["RenderInput"];

export function Code({ name, asset }: { name: string; asset: boolean }) {
  const [params] = useSearchParams();
  const numbers = { version: Number(params.get("version")), since: Number(params.get("since")) };
  const query = Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0));
  return (
    <Loaded document={useResponse("/api/v1/assets/{name}/code", { path: { name }, query })}>
      {(code) => (
        <>
          {code.difference && (
            <Panel title={`Changes from version ${code.difference.since} to ${code.version ?? ""}`}>
              <div className="body">
                <Difference of={code.file} {...code.difference} />
              </div>
            </Panel>
          )}
          <Text code={code} />
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
          {asset && code.text !== null && <Runs name={name} />}
        </>
      )}
    </Loaded>
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
        <pre className="code" tabIndex={0} role="group" aria-label="Code">
          <Suspense fallback={<code>{visibleLines(code.text)}</code>}>
            <Highlighted text={code.text} language={code.language} />
          </Suspense>
        </pre>
      )}
    </Panel>
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

/** What the query of one partition is bound to, and which partitions of its inputs it reads. */
function Runs({ name }: { name: string }) {
  const [written, setWritten] = useState("");
  const [partition, setPartition] = useState("");
  const target = partition ? `${name}@${partition}` : name;
  return (
    <Panel title="Parameters and inputs" aside="by the files as they are now">
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
        {(render) => <Bound render={render} />}
      </Loaded>
    </Panel>
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
