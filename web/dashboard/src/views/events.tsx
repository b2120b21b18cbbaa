/** Users by day, and which types of events there are, of all or of a segment. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { DailyUsers, TopEvents } from "../api/shapes";
import { Bar } from "../chart/bars";
import type { Line, Point } from "../chart/data";
import { Series } from "../chart/series";
import { exportMenu, fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { Panel } from "../parts/panel";
import { type Column, Table } from "../parts/table";
import { User } from "../parts/user";
import { Box } from "../segment/box";
import { written } from "../segment/quote";
import { now } from "../state/clock";
import { address, query, set, word } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { addDays, asDates, dateIn, daysBetween, type Range } from "../time/range";
import { before, comparison, everyRows, range, zoneOf } from "../view";
import { eventCommand } from "./commands";
import { TypeOverTime } from "./event_type";
import { formerColumns, formerDates, hasFormer } from "./former";
import { useFresh } from "./fresh";

const TYPES = 100;
/** Days that the chart of users has at least. */
const LEAST_DAYS = 14;
const FILES = ["CSV", "NDJSON", "Parquet"];

/** The segment of the view: its text, and the one type where one is chosen. */
function segmentOf(): string {
  const text = query.value.get("seg") ?? "";
  const type = query.value.get("type") ?? "";
  if (!type) return text;
  const only = written({ joint: "and", rules: [{ field: "event_type", operator: ":", value: type }] });
  return text ? `${only} and (${text})` : only;
}

const daysOf = (data: DailyUsers, today: string, fresh: string): Point[] =>
  data.days.map((day) => ({
    at: Date.parse(`${day.date}T00:00:00Z`),
    value: day.date > today ? null : day.users,
    isFinal: day.date < fresh,
  }));

export function Events() {
  const zone = zoneOf();
  const today = dateIn(zone, now.value);
  const fresh = dateIn(zone, useFresh("events"));
  const dates = asDates(range.value, zone);
  const days: Range = { isDays: true, ...dates, isRunning: range.value.isRunning };
  // One bar tells nothing: a short range is shown with the days before it.
  const isShort = daysBetween(dates.from, dates.to) < LEAST_DAYS - 1;
  const shown: Range = isShort ? { ...days, from: addDays(dates.to, 1 - LEAST_DAYS) } : days;
  const past = !isShort && before.value ? asDates(before.value, zone) : undefined;
  const isApproximate = word("approx", ["true"], "" as "true") === "true";
  const segment = query.value.get("seg") ?? "";
  const type = query.value.get("type") ?? "";
  const more = { tz: zone, segment: segmentOf(), approx: isApproximate };
  const users = useApi<DailyUsers>(question("stats/dau", { from: shown.from, to: shown.to, ...more }), everyRows());
  const former = useApi<DailyUsers>(past ? question("stats/dau", { ...past, ...more }) : null);
  const isCompared = hasFormer();
  const types = useApi<TopEvents>(
    question("stats/top-events", { ...dates, tz: zone, segment, limit: TYPES, ...formerDates(zone) }),
    everyRows(),
  );
  const typeColumns: Column<TopEvents["events"][number]>[] = [
    {
      key: "type",
      name: T.eventType,
      sorts: true,
      text: (row) => row.event_type,
      cell: (row) => (
        <a
          href={address("ui/events", { type: row.event_type, seg: segment })}
          {...(row.event_type === type && { "aria-current": "true" as const })}
        >
          <User text={row.event_type} />
        </a>
      ),
    },
    {
      key: "count",
      name: T.events,
      isNumber: true,
      sorts: true,
      text: (row) => row.count,
      cell: (row) => <Bar value={row.count} most={types.data?.events[0]?.count ?? 0} />,
    },
    ...(isCompared ? formerColumns<TopEvents["events"][number]>((row) => row.count) : []),
  ];
  const problem = types.problem ?? users.problem;
  const caption = `${T.topEvents}, ${format.range(days, zone)}, ${zone}`;
  const line = (data: DailyUsers): Line[] => [
    {
      name: T.users,
      points: daysOf(data, today, fresh),
      ...(former.data && { before: daysOf(former.data, today, fresh) }),
    },
  ];
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.events}
      </h1>
      <Box
        name="seg"
        parameter="segment"
        label={M.segment}
        example="event_type:purchase and properties.country:UA"
        fields={["event_type", "user_id", "properties."]}
        suggestions={question("events/fields", { event_type: type })}
        problem={problem?.faults.length ? problem : undefined}
      />
      <div class="group choices">
        {type && (
          <p class="chips">
            <span>
              {T.eventType} <User text={type} />{" "}
              <button
                type="button"
                class="plain"
                aria-label={`${T.remove} ${T.eventType}`}
                onClick={() => set({ type: null })}
              >
                ×
              </button>
            </span>
          </p>
        )}
        <label>
          <input
            type="checkbox"
            checked={isApproximate}
            onChange={() => set({ approx: isApproximate ? null : "true" })}
          />{" "}
          {M.approximate}
        </label>
      </div>
      <Panel
        title={M.dailyUsers}
        of={users}
        note={M.usersDoNotAdd}
        empty={(data) =>
          data.days.every((day) => day.users === 0) && (
            <>
              <p>{T.noEvents(format.range(shown, zone))}</p>
              {!segment && !type && <Command text={eventCommand()} />}
            </>
          )
        }
      >
        {(data) => (
          <>
            {isApproximate && data.error ? <p class="soft">{M.estimated(format.percent(data.error))}</p> : null}
            <p class="soft">{M.usersOfRange(format.count(data.users), `${format.range(shown, zone)}, ${zone}`)}</p>
            <Series
              title={M.dailyUsers}
              lines={line(data)}
              step="day"
              zone="UTC"
              zoneName={zone}
              range={shown}
              adds={false}
              {...(data.error !== undefined && data.error > 0 && { error: data.error })}
              comparedWith={T.comparisons[comparison.value]!}
              file={fileName(["dau", shown.from, shown.to, zone])}
              address={users.address}
              exports={FILES}
            />
          </>
        )}
      </Panel>
      {type && <TypeOverTime type={type} segment={segment} />}
      <Panel
        title={T.topEvents}
        of={types}
        tools={
          types.data &&
          exportMenu({
            file: fileName(["top-events", dates.from, dates.to, zone]),
            caption,
            columns: typeColumns,
            rows: types.data.events,
            address: types.address,
            service: FILES,
          })
        }
        empty={(data) => data.events.length === 0 && <p>{T.noEvents(format.range(days, zone))}</p>}
      >
        {(data) => (
          <Table caption={caption} rows={data.events} rowKey={(row) => row.event_type} columns={typeColumns} />
        )}
      </Panel>
    </>
  );
}
