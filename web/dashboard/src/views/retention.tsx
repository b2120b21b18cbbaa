/** Users by their first activity, and how many of them came back. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { Retention as Answer, TopEvents } from "../api/shapes";
import { Triangle } from "../chart/triangle";
import { exportMenu, fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { Panel } from "../parts/panel";
import { visible } from "../parts/user";
import { now } from "../state/clock";
import { query, reject, set, whole, word } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { addDays, dateIn, isDate } from "../time/range";
import { isZone, OWN_ZONE, zoneOf } from "../view";
import { eventCommand } from "./commands";

const WINDOW_DAYS = { day: 1, week: 7 } as const;
const EVERY_MS = 60_000;

export function Retention() {
  const zone = zoneOf();
  const today = dateIn(zone, now.value);
  const window = word("window", ["week", "day"], "week");
  const windows = whole("windows", 1, 60, window === "week" ? 6 : 14);
  const width = WINDOW_DAYS[window];
  const given = query.value.get("start");
  if (given !== null && !isDate(given)) reject("start");
  const start = given !== null && isDate(given) ? given : addDays(today, 1 - windows * width);
  const type = query.value.get("type") ?? "";
  const found = useApi<Answer>(
    question("stats/retention", { start_date: start, windows, window, event_type: type, tz: zone }),
    EVERY_MS,
  );
  const [from] = [start, today].sort();
  const types = useApi<TopEvents>(question("stats/top-events", { from: from!, to: today, tz: zone, limit: 100 }));
  const last = addDays(start, windows * width - 1);
  const caption = `${M.retentionCaption}, ${format.range({ isDays: true, from: start, to: last, isRunning: false }, zone)}, ${zone}`;
  const endOf = (place: number) => addDays(start, (place + 1) * width - 1);
  const rows = (found.data?.cohorts ?? []).flatMap((cohort) =>
    cohort.users.map((users, index) => ({
      cohort: cohort.start,
      window: index,
      size: cohort.size,
      users,
      rate: cohort.rates[index] ?? null,
    })),
  );
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.retention}
      </h1>
      <div class="toolbar" role="region" aria-label={T.toolbar}>
        <label>
          {M.start} <input type="date" value={start} onChange={(event) => set({ start: event.currentTarget.value })} />
        </label>
        <label>
          {M.window}{" "}
          <select
            value={window}
            onChange={(event) =>
              set({
                window: (event.currentTarget as HTMLSelectElement).value.replace("week", ""),
                windows: null,
                start: null,
              })
            }
          >
            {(["week", "day"] as const).map((one) => (
              <option key={one} value={one}>
                {M.windowNames[one]}
              </option>
            ))}
          </select>
        </label>
        <label>
          {M.windows}{" "}
          <input
            type="number"
            min={1}
            max={60}
            value={windows}
            onChange={(event) => set({ windows: event.currentTarget.value })}
          />
        </label>
        <label>
          {T.eventType}{" "}
          <select value={type} onChange={(event) => set({ type: (event.currentTarget as HTMLSelectElement).value })}>
            <option value="">{M.anyEvent}</option>
            {[...new Set([...(type ? [type] : []), ...(types.data?.events.map((one) => one.event_type) ?? [])])].map(
              (one) => (
                <option key={one} value={one}>
                  {visible(one)}
                </option>
              ),
            )}
          </select>
        </label>
        <label>
          {T.zone}{" "}
          <select value={zone} onChange={(event) => set({ tz: (event.currentTarget as HTMLSelectElement).value })}>
            {[...new Set([zone, OWN_ZONE, "UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])])]
              .filter(isZone)
              .map((one) => (
                <option key={one}>{one}</option>
              ))}
          </select>
        </label>
      </div>
      <Panel
        title={T.views.retention!}
        of={found}
        note={M.retentionNote}
        tools={
          found.data &&
          exportMenu({
            file: fileName(["retention", window, start, zone]),
            caption,
            columns: [
              { key: "cohort", name: M.cohort, text: (row) => row.cohort },
              { key: "window", name: M.windowNames[window]!, text: (row) => row.window },
              { key: "size", name: M.cohortSize, text: (row) => row.size },
              { key: "users", name: T.users, text: (row) => row.users },
              { key: "rate", name: M.rate, text: (row) => row.rate },
              {
                key: "final",
                name: T.final,
                text: (row) => (endOf(data_index(start, row.cohort, width) + row.window) < today ? T.yes : T.no),
              },
            ],
            rows,
            address: found.address,
            service: ["CSV", "NDJSON", "Parquet"],
          })
        }
        empty={(data) =>
          data.cohorts.every((one) => one.size === 0) &&
          (types.data?.events.length ? (
            <p>{M.nobodyNew}</p>
          ) : (
            <>
              <p>{T.noEvents(format.range({ isDays: true, from: start, to: last, isRunning: false }, zone))}</p>
              <Command text={eventCommand()} />
            </>
          ))
        }
      >
        {(data) => <Triangle data={data} caption={caption} isRunning={(row, index) => endOf(row + index) >= today} />}
      </Panel>
    </>
  );
}

/** The number of the window in which a cohort came. */
function data_index(start: string, cohort: string, width: number): number {
  return Math.round((Date.parse(cohort) - Date.parse(start)) / 86_400_000 / width);
}
