// A backfill is planned: by clicking partitions or by typing. What would be done is shown, and only exactly that is started.
import { useState, type SubmitEvent } from "react";
import { useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { usePlan } from "../../api/acts";
import { useResponse } from "../../api/responses";
import { ActButtons, useRefusedActs } from "../../parts/ActButtons";
import { Empty, Heading, Panel, Refusal, usePageTitle } from "../../parts/Page";
import { Select } from "../../parts/Select";
import { many } from "../../parts/words";
import { HeatMap } from "../asset/HeatMap";
import { ordered } from "../asset/range";
import "../asset/asset.css";
import { Facts } from "./Facts";
import { PreviewedPartitions } from "./Partitions";
import { Start } from "./Start";
import { Planned, Skipped } from "./tables";
import "./backfill.css";

const MODES = {
  missing: "missing or stale",
  failed: "failed or rejected",
  all: "all",
};
const NOTHING: Record<string, string> = {
  missing: "None of these days is missing or stale, and ready. “all” recomputes published ones.",
  failed: "None of these days failed or was rejected.",
  all: "None of these days can be computed.",
};
const FIELDS = ["select", "exclude", "from", "to", "since", "mode", "only", "partial"] as const;
type Fields = Record<(typeof FIELDS)[number], string>;

const readFrom = (params: URLSearchParams): Fields => ({
  select: "",
  exclude: "",
  from: "",
  to: "",
  since: "",
  mode: "missing",
  only: "",
  partial: "",
  ...Object.fromEntries(params),
});

export function New() {
  usePageTitle("New backfill");
  const [params, setParams] = useSearchParams();
  const [edits, setEdits] = useState<Partial<Fields>>({});
  const fields = readFrom(params);
  const draft = { ...fields, ...edits };
  const plan = (fields: Fields) => {
    const consistent =
      fields.mode === "failed" && fields.since
        ? { ...fields, from: "", to: "" }
        : { ...fields, since: "" };
    setEdits({});
    setParams(
      Object.fromEntries(
        FIELDS.flatMap((name) => (consistent[name] ? [[name, consistent[name]]] : [])),
      ),
      { replace: true, preventScrollReset: true },
    );
  };
  return (
    <div className="stack">
      <Heading
        title="New backfill"
        subtitle="Past partitions are recomputed alongside production and published at once. The plan is shown before anything runs."
      />
      <Panel title="Partition selection">
        <Form
          draft={draft}
          set={(name, value) => setEdits({ ...edits, [name]: value })}
          plan={() => plan(draft)}
        />
        <Calendar
          fields={fields}
          choose={(from, to) => plan({ ...draft, since: "", ...ordered({ from, to }) })}
        />
      </Panel>
      {fields.select.trim() && (fields.since || (fields.from && fields.to)) ? (
        <Plan key={params.toString()} fields={fields} />
      ) : (
        <Panel title="Plan">
          <Empty>
            Name an asset and <strong>click two partitions</strong>, or type both days. The plan
            shows the partitions, the duration and who is affected.
          </Empty>
        </Panel>
      )}
    </div>
  );
}

/** Of one asset: the first click begins a range, the second ends it. */
function Calendar({
  fields,
  choose,
}: {
  fields: Fields;
  choose: (from: string, to: string) => void;
}) {
  const name = fields.select.trim();
  const response = useResponse(
    "/api/v1/assets/{name}/partitions",
    { path: { name } },
    /^[^\s,*+:@]+$/.test(name),
  );
  const partitions =
    response.data && !response.isPlaceholderData && response.data.node === name
      ? response.data.partitions
      : [];
  if (!partitions.length) return null;
  const chosen = fields.from && fields.to ? { from: fields.from, to: fields.to } : null;
  const open = chosen !== null && chosen.from === chosen.to;
  return (
    <>
      <HeatMap
        partitions={partitions}
        chosen={chosen}
        choose={(to, further) => choose(chosen && (open || further) ? chosen.from : to, to)}
      />
      <p className="body muted small" role="status">
        {open
          ? "Another click says up to where; both are included."
          : chosen
            ? "A click begins anew; with Shift it says up to where."
            : "A click says from where, another one up to where."}
      </p>
    </>
  );
}

function Form({
  draft,
  set,
  plan,
}: {
  draft: Fields;
  set: (name: keyof Fields, value: string) => void;
  plan: () => void;
}) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    plan();
  };
  const since = draft.mode === "failed" ? draft.since.trim() : "";
  const names = useResponse("/api/v1/ls", {}).data?.filter((row) => row.kind === "asset") ?? [];
  return (
    <form className="body plan" onSubmit={submit}>
      <label className="wide">
        Assets
        <input
          className="input"
          required
          value={draft.select}
          list="assets"
          autoComplete="off"
          placeholder="name, name+, tag:…, owner:…"
          onChange={(event) => set("select", event.target.value)}
        />
      </label>
      <datalist id="assets">
        {names.map((name) => (
          <option key={name.name} value={name.name} />
        ))}
      </datalist>
      <label>
        From
        <input
          className="input"
          required={!since}
          disabled={!!since}
          value={since ? "" : draft.from}
          placeholder="2025-03-01"
          onChange={(event) => set("from", event.target.value)}
        />
      </label>
      <label>
        To, included
        <input
          className="input"
          required={!since}
          disabled={!!since}
          value={since ? "" : draft.to}
          placeholder="2025-03-31"
          onChange={(event) => set("to", event.target.value)}
        />
      </label>
      <Select
        name="Partitions"
        value={draft.mode}
        choices={Object.entries(MODES)}
        choose={(mode) => set("mode", mode)}
      />
      <label>
        Leave out
        <input
          className="input"
          value={draft.exclude}
          list="assets"
          autoComplete="off"
          placeholder="nothing"
          onChange={(event) => set("exclude", event.target.value)}
        />
      </label>
      {draft.mode === "failed" && (
        <label>
          Or: failed since
          <input
            className="input"
            value={draft.since}
            placeholder="2d, 2025-03-01"
            onChange={(event) => set("since", event.target.value)}
          />
        </label>
      )}
      <div className="wide row">
        <label>
          <input
            type="checkbox"
            checked={!!draft.only}
            onChange={(event) => set("only", event.target.checked ? "1" : "")}
          />{" "}
          only these assets, not those downstream
        </label>
        <label>
          <input
            type="checkbox"
            checked={!!draft.partial}
            onChange={(event) => set("partial", event.target.checked ? "1" : "")}
          />{" "}
          publish what succeeds, even if some partitions fail
        </label>
        <button type="submit" className="button">
          Show the plan
        </button>
      </div>
    </form>
  );
}

function Plan({ fields }: { fields: Fields }) {
  const [starting, setStarting] = useState(false);
  const range = fields.since
    ? { since: fields.since.trim() }
    : { from: fields.from, to: fields.to };
  const without = fields.exclude.trim();
  const request = {
    select: fields.select.trim().split(/\s+/),
    ...(without ? { exclude: without.split(/\s+/) } : {}),
    ...range,
    mode: fields.mode,
    only: !!fields.only,
    allow_partial: !!fields.partial,
  };
  const plan = usePlan("/api/v1/backfills/preview", { query: request });
  const listed = useResponse("/api/v1/backfills", {}); // what is there before: the new one is known by it (`Start`)
  // Of the assets that are recomputed, the server decides when it is started.
  const refusedActs = useRefusedActs().filter((act) => !act.somewhere);
  const refused = plan.error ?? (listed.data ? null : listed.error);
  if (refused) return <Refusal problem={refused} />;
  if (!plan.data || !listed.data)
    return (
      <p role="status" className="empty">
        Planning…
      </p>
    );
  const row = plan.data.document;
  if (row.state === "nothing_due")
    return (
      <Panel title="Plan">
        <Nothing row={row} />
      </Panel>
    );
  return (
    <div className="columns">
      <div className="stack">
        <div className="notice">
          <div className="row spread" style={{ flex: 1 }}>
            <p>
              <strong>{many(row.partitions_total, "partition")} would be computed</strong>
              {row.skipped.length > 0 && (
                <>
                  , {row.skipped.reduce((sum, row) => sum + row.partitions, 0).toLocaleString("en")}{" "}
                  left out
                </>
              )}
              . {row.needs_approval && "It waits for an approval before it begins."}
            </p>
            <div className="row">
              <ActButtons
                acts={[
                  {
                    label: row.needs_approval ? "Ask for approval…" : "Start it…",
                    command: "backfill",
                    main: true,
                    begin: () => setStarting(true),
                  },
                ]}
                refused={refusedActs}
              />
            </div>
          </div>
        </div>
        {row.notes.map((note) => (
          <div key={note} className="notice">
            <p>{note}</p>
          </div>
        ))}
        <Panel title="Plan" aside={`${row.counts.text}; ${row.mode}`}>
          <Planned rows={row.assets} />
        </Panel>
        {row.skipped.length > 0 && (
          <Panel
            title="Skipped partitions"
            aside={many(
              row.skipped.reduce((sum, row) => sum + row.partitions, 0),
              "partition",
            )}
          >
            <Skipped rows={row.skipped} />
          </Panel>
        )}
        <PreviewedPartitions request={request} total={row.partitions_total} />
      </div>
      <Facts row={row} />
      {starting && (
        <Start
          row={row}
          body={{ ...request, agreed: plan.data.agreed }}
          replan={() => {
            setStarting(false);
            void plan.refetch();
          }}
          close={() => setStarting(false)}
        />
      )}
    </div>
  );
}

function Nothing({ row }: { row: Schema["BackfillResponse"] }) {
  return (
    <>
      <Empty>
        <strong>No partition needs computing.</strong> {NOTHING[row.mode]}
      </Empty>
      {row.skipped.length > 0 && <Skipped rows={row.skipped} />}
    </>
  );
}
