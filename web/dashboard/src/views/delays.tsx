/** How old the oldest of what is on its way is, and what could be no row. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { DeadLetters, Freshness } from "../api/shapes";
import { Panel } from "../parts/panel";
import { Table } from "../parts/table";
import { User } from "../parts/user";
import { may } from "../state/session";
import { M } from "../text.more";
import * as format from "../time/format";
import { zoneOf } from "../view";

const EVERY_MS = 5_000;
const LATE_S = 30;

export function Delays() {
  const fresh = useApi<Freshness>("freshness", EVERY_MS);
  const letters = useApi<DeadLetters>(may("admin") ? question("dead-letters", { limit: 100 }) : null, 15_000);
  return (
    <>
      <Panel title={M.delays} of={fresh}>
        {(data) => (
          <Table
            caption={M.delays}
            rows={[...Object.entries(data.tables), ["minutes", { state: "moving", ...data.minutes }] as const]}
            rowKey={([name]) => name}
            columns={[
              { key: "table", name: M.tableName, text: ([name]) => M.tables[name] ?? name },
              {
                key: "age",
                name: M.oldest,
                isNumber: true,
                text: ([, one]) => (one.oldestS ? format.age(one.oldestS) : M.nothingWaits),
                cell: ([, one]) =>
                  one.oldestS ? (
                    <span class={one.oldestS > LATE_S ? "state degraded" : ""}>
                      {format.age(one.oldestS)} {one.oldestS > LATE_S && M.late}
                    </span>
                  ) : (
                    <span class="soft">{M.nothingWaits}</span>
                  ),
              },
              {
                key: "waiting",
                name: M.waiting,
                isNumber: true,
                text: ([, one]) => ("waiting" in one ? one.waiting : undefined),
              },
              {
                key: "state",
                name: M.state,
                text: ([, one]) =>
                  `${M.moves[one.state] ?? one.state}${"reason" in one && one.reason ? `: ${one.reason}` : ""}`,
                cell: ([, one]) => (
                  <span class={`state ${one.state === "moving" ? "ok" : "degraded"}`}>
                    {M.moves[one.state] ?? one.state} {"reason" in one && one.reason && <User text={one.reason} />}
                  </span>
                ),
              },
            ]}
          />
        )}
      </Panel>
      {may("admin") && (
        <Panel
          title={M.deadLetters}
          of={letters}
          empty={(data) => data.letters.length === 0 && <p>{M.noDeadLetters}</p>}
          note={M.deadLettersNote}
        >
          {(data) => (
            <Table
              caption={M.deadLetters}
              rows={data.letters}
              rowKey={(row) => `${row.table} ${row.id}`}
              columns={[
                { key: "id", name: M.id, text: (row) => String(row.id) },
                { key: "table", name: M.tableName, text: (row) => M.tables[row.table] ?? row.table },
                { key: "reason", name: M.reason, text: (row) => row.reason, cell: (row) => <User text={row.reason} /> },
                {
                  key: "where",
                  name: M.position,
                  isExtra: true,
                  text: (row) => `${row.topic} ${row.partition}:${row.offset}`,
                },
                {
                  key: "at",
                  name: `${M.since} (${zoneOf()})`,
                  text: (row) => format.stamp(Date.parse(row.created_at), zoneOf(), "minute"),
                },
              ]}
            />
          )}
        </Panel>
      )}
    </>
  );
}
