// The file that declares a node, as it was applied, and its versions.
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Time } from "../../parts/Time";

export function Code({ name }: { name: string }) {
  const [params, setParams] = useSearchParams();
  const version = Number(params.get("version")) || null;
  const choose = (next: number) =>
    setParams({ part: "code", version: `${next}` }, { replace: true, preventScrollReset: true });
  return (
    <Loaded
      document={useResponse("/api/v1/assets/{name}/code", {
        path: { name },
        query: version ? { version } : {},
      })}
    >
      {(code) => (
        <Panel
          title={`${code.file}:${code.line}`}
          aside={`${code.language}${code.version === null ? "" : `, as of version ${code.version} of the project`}`}
        >
          {code.text === null ? (
            <Empty>
              It was never applied, or is no text. <code>headrace apply</code> puts it into force.
            </Empty>
          ) : (
            <pre className="code" tabIndex={0} role="group" aria-label="Code">
              <code>{code.text}</code>
            </pre>
          )}
          {code.versions.length > 1 && <Versions code={code} choose={choose} />}
        </Panel>
      )}
    </Loaded>
  );
}

function Versions({
  code,
  choose,
}: {
  code: Schema["CodeResponse"];
  choose: (version: number) => void;
}) {
  return (
    <ul className="body">
      {code.versions.map((version) => (
        <li key={version.version} className="row">
          <button
            type="button"
            className="button plain"
            aria-pressed={version.version === code.version}
            onClick={() => choose(version.version)}
          >
            Version {version.version}
          </button>
          <span className="muted">
            <Time at={version.at} /> by {version.by}
          </span>
        </li>
      ))}
    </ul>
  );
}
