/** Application events, the newest first. */

import { useEffect, useState } from "preact/hooks";
import { question } from "../api/client";
import type { EventLogs, LoggedEvent } from "../api/shapes";
import { exportMenu, fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { usePages } from "../parts/pages";
import { Panel } from "../parts/panel";
import { type Column, Table } from "../parts/table";
import { User, visible } from "../parts/user";
import { Box } from "../segment/box";
import { may } from "../state/session";
import { query, set } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { everyRows, range } from "../view";
import { entryCommand } from "./commands";

const PAGE = 100;

export function Logs() {
  const asked = range.value;
  const filter = query.value.get("filter") ?? "";
  const type = query.value.get("type") ?? "";
  const environment = query.value.get("env") ?? "";
  const values = { from: asked.from, to: asked.to, event_type: type, environment, filter, limit: PAGE };
  const key = question("logs", values);
  const { first, pages, more } = usePages<EventLogs>(may("logs:read") ? key : null, {
    every: everyRows(),
    isSteady: true,
    name: M.older,
  });
  const [chosen, choose] = useState<string | undefined>();
  useEffect(() => choose(undefined), [key]);
  const seen = new Set<string>();
  const rows = pages
    .flatMap((page) => page.events)
    .filter((one) => {
      const id = `${one.event_id} ${one.event_date_time}`;
      return !seen.has(id) && seen.add(id);
    });
  const caption = `${T.views.logs}, ${format.range(asked, "UTC")}, UTC`;
  const columns: Column<LoggedEvent>[] = [
    {
      key: "at",
      name: `${M.time} (UTC)`,
      text: (row) => row.event_date_time,
      cell: (row) => (
        <button
          type="button"
          class="plain moment"
          aria-pressed={row.event_id === chosen}
          onClick={() => choose(row.event_id === chosen ? undefined : row.event_id)}
        >
          {row.event_date_time.replace("T", " ").replace(/(\.\d{3})?\d*Z$/, "$1")}
        </button>
      ),
    },
    { key: "type", name: M.entryType, text: (row) => row.event_type, cell: (row) => <User text={row.event_type} /> },
    {
      key: "env",
      name: M.environment,
      isExtra: true,
      text: (row) => row.environment,
      cell: (row) => <User text={row.environment} />,
    },
    {
      key: "context",
      name: M.context,
      isExtra: true,
      text: (row) => JSON.stringify(row.event_context),
      cell: (row) => (
        <span class="clip">
          <bdi>{visible(JSON.stringify(row.event_context)).slice(0, 300)}</bdi>
        </span>
      ),
    },
  ];
  const entry = rows.find((one) => one.event_id === chosen);
  if (!may("logs:read")) {
    return (
      <>
        <h1 id="title" tabIndex={-1}>
          {T.views.logs}
        </h1>
        <p class="trouble">{T.needsScope("logs:read")}</p>
      </>
    );
  }
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.logs}
      </h1>
      <Box
        name="filter"
        parameter="filter"
        label={M.filter}
        example="context.log.level:error"
        fields={["event_type", "environment", "event_id", "metadata_version", "event_context.", "context."]}
        problem={first.problem?.faults.length ? first.problem : undefined}
      />
      <Only name="type" label={M.entryType} value={type} />
      <Only name="env" label={M.environment} value={environment} />
      <div class={entry ? "beside" : ""}>
        <Panel
          title={T.views.logs!}
          of={first}
          chip="UTC"
          tools={
            rows.length > 0 &&
            exportMenu({
              file: fileName(["logs", asked.from, asked.to, "utc"]),
              caption,
              columns,
              rows,
              address: first.address,
              service: ["CSV", "NDJSON"],
            })
          }
          empty={(data) =>
            data.events.length === 0 && (
              <>
                <p>{M.noEntries(format.range(asked, "UTC"))}</p>
                {!filter && !type && <Command text={entryCommand()} />}
              </>
            )
          }
        >
          {() => (
            <Table
              caption={caption}
              columns={columns}
              rows={rows}
              rowKey={(row) => `${row.event_id} ${row.event_date_time}`}
              more={more}
            />
          )}
        </Panel>
        {entry && <Entry entry={entry} close={() => choose(undefined)} />}
      </div>
    </>
  );
}

function Entry({ entry, close }: { entry: LoggedEvent; close: () => void }) {
  return (
    <aside class="panel entry" aria-label={M.entry}>
      <header>
        <h2>
          <User text={entry.event_type} />
        </h2>
        <span class="tools">
          <button type="button" onClick={close}>
            {T.close}
          </button>
        </span>
      </header>
      <p class="soft">{entry.event_date_time}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long text is scrolled by keyboard */}
      <pre tabIndex={0}>
        <bdi>{escaped(JSON.stringify(entry, null, 2))}</bdi>
      </pre>
      <span class="group">
        <button type="button" onClick={() => set({ type: entry.event_type })}>
          {M.onlyThisType}
        </button>
      </span>
    </aside>
  );
}

/** Lines stay lines; everything else that cannot be seen is written out. */
const escaped = (text: string) => text.split("\n").map(visible).join("\n");

function Only({ name, label, value }: { name: string; label: string; value: string }) {
  if (!value) return null;
  return (
    <p class="chips">
      <span>
        {label} <User text={value} />{" "}
        <button type="button" class="plain" aria-label={`${T.remove} ${label}`} onClick={() => set({ [name]: null })}>
          ×
        </button>
      </span>
    </p>
  );
}
