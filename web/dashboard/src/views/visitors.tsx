/** Views, visits and visitors of a site, without cookies: how many, where from, and what they read. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { BannerStatistics, SiteList, WebStatistics } from "../api/shapes";
import { Bar } from "../chart/bars";
import type { Point } from "../chart/data";
import { Series } from "../chart/series";
import { exportMenu, fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { Panel } from "../parts/panel";
import { type Column, Table } from "../parts/table";
import { TrafficSwitch, trafficOf } from "../parts/traffic";
import { User } from "../parts/user";
import { Box } from "../segment/box";
import { now, serviceNow } from "../state/clock";
import { address, query, reject, set, word } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { addDays, asDates, dateIn, preset } from "../time/range";
import { STEP_MS, type Step } from "../time/step";
import { everyRows, presetOf, range } from "../view";
import { siteCommand } from "./commands";
import { useFresh } from "./fresh";

const BY = [
  ...["page", "entry", "exit", "source", "referrer", "medium", "campaign", "ad", "banner"],
  ...["country", "device", "browser", "os", "host", "event", "out"],
] as const;
/** What is counted by its own rows, beside the views of whoever did it. */
const ACTS: readonly string[] = ["event", "out"];
const FIELDS = ["host", "page", "referrer", "source", "medium", "campaign", "ad", "country", "device", "browser", "os"];
const ROWS = 100;
const FILES = ["CSV", "NDJSON", "Parquet"];

type Row = NonNullable<WebStatistics["rows"]>[number];

/** Days of the site's zone, which are not those of the toolbar. */
function daysOf(zone: string) {
  const name = presetOf.value;
  return asDates(name ? preset(name, now.value, zone) : range.value, zone);
}

export function Visitors() {
  const sites = useApi<SiteList>(question("sites", { limit: 1000 }), 60_000);
  const listed = sites.data?.sites ?? [];
  const wanted = query.value.get("site");
  const site = listed.find((one) => one.site === wanted) ?? listed[0];
  if (wanted !== null && sites.data && site?.site !== wanted) reject("site");
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.visitors}
      </h1>
      {site ? (
        <>
          <div class="group choices">
            <label>
              {M.site}{" "}
              <select
                value={site.site}
                onChange={(event) => set({ site: (event.currentTarget as HTMLSelectElement).value, filter: null })}
              >
                {listed.map((one) => (
                  <option key={one.site}>{one.site}</option>
                ))}
              </select>
            </label>
            <TrafficSwitch />
            <a href={address("ui/sites")}>{M.allSites}</a>
          </div>
          <Numbers site={site.site} zone={site.timezone} />
        </>
      ) : (
        <Panel
          title={T.views.sites!}
          of={sites}
          empty={() => (
            <>
              <p>{M.noSites}</p>
              <Command text={siteCommand()} />
            </>
          )}
        />
      )}
    </>
  );
}

function Numbers({ site, zone }: { site: string; zone: string }) {
  const dates = daysOf(zone);
  const isDay = dates.from === dates.to;
  const filter = query.value.get("filter") ?? "";
  const by = word<string>("by", BY, "page");
  const fresh = useFresh("web_items");
  const values = { site, ...dates, traffic: trafficOf(), filter };
  const hours = useHours(isDay ? dates.from : undefined, zone);
  const time = useApi<WebStatistics>(question("stats/web", { ...values, by: isDay ? "hour" : "day" }), everyRows());
  const found = useApi<WebStatistics>(question("stats/web", { ...values, by, limit: ROWS }), everyRows());
  const days = { isDays: true, ...dates, isRunning: dates.to >= dateIn(zone, now.value) };
  const when = format.range(days, zone);
  const step: Step = isDay ? "hour" : "day";
  const problem = time.problem ?? found.problem;
  const caption = `${M.by[by]}, ${when}, ${zone}`;
  const columns = columnsFor(by, found.data?.rows?.[0]);
  return (
    <>
      <Box
        name="filter"
        parameter="filter"
        label={M.filter}
        example="country:DE and not source:news"
        fields={FIELDS}
        problem={problem?.faults.length ? problem : undefined}
      />
      <Totals data={time.data} isStale={time.isStale} />
      <Panel
        title={M.visitsPer(step)}
        of={time}
        chip={zone}
        chipTitle={M.siteZone}
        note={M.visitorsDoNotAdd}
        empty={(data) => data.totals.views === 0 && !data.rows?.length && <p>{T.noViewsIn(when)}</p>}
      >
        {(data) => (
          <Series
            title={M.visitsPer(step)}
            lines={[
              { name: T.pageViews, points: points(data, hours, fresh, (row) => row.views) },
              { name: M.visits, points: points(data, hours, fresh, (row) => row.visits) },
              { name: M.visitors, points: points(data, hours, fresh, (row) => row.visitorDays) },
            ]}
            step={step}
            zone={isDay ? zone : "UTC"}
            zoneName={zone}
            range={days}
            adds={false}
            file={fileName(["web", site, step, dates.from, dates.to])}
            address={time.address}
            exports={FILES}
          />
        )}
      </Panel>
      <nav class="tabs" aria-label={M.partedBy}>
        {BY.map((one) => (
          <a
            key={one}
            href={address("ui/visitors", {
              site: query.value.get("site"),
              traffic: query.value.get("traffic"),
              filter,
              by: one === "page" ? null : one,
            })}
            {...(one === by && { "aria-current": "true" as const })}
          >
            {M.by[one]}
          </a>
        ))}
      </nav>
      <Panel
        title={M.by[by]!}
        of={found}
        chip={zone}
        chipTitle={M.siteZone}
        tools={
          found.data?.rows &&
          exportMenu({
            file: fileName(["web", site, by, dates.from, dates.to]),
            caption,
            columns,
            rows: found.data.rows,
            address: found.address,
            service: FILES,
          })
        }
        empty={(data) => !data.rows?.length && <p>{M.nothingBy(M.by[by]!, when)}</p>}
      >
        {(data) => (
          <Table caption={caption} columns={columns} rows={data.rows ?? []} rowKey={(row) => `${by} ${row.value}`} />
        )}
      </Panel>
    </>
  );
}

function columnsFor(by: string, first: Row | undefined): Column<Row>[] {
  const isAct = ACTS.includes(by);
  const main = isAct ? M.times : T.pageViews;
  const count = (row: Row) => (isAct ? row.items : row.views);
  return [
    {
      key: "value",
      name: M.by[by]!,
      sorts: true,
      text: (row) => row.value,
      cell: (row) =>
        by === "banner" ? (
          <a href={address(`ui/banners/${encodeURIComponent(row.value)}`)}>{row.value}</a>
        ) : row.value ? (
          <User text={row.value} />
        ) : (
          <span class="soft">{M.notSaid}</span>
        ),
    },
    {
      key: "count",
      name: main,
      isNumber: true,
      sorts: true,
      text: count,
      cell: (row) => <Bar value={count(row)} most={first ? Math.max(count(first), 1) : 0} />,
    },
    { key: "visits", name: M.visits, isNumber: true, sorts: true, text: (row) => row.visits },
    {
      key: "visitors",
      name: M.visitorDays,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.visitorDays,
    },
    {
      key: "bounces",
      name: M.bounceRate,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.bounceRate,
      cell: (row) => ratio(row.bounceRate),
    },
    {
      key: "engaged",
      name: M.engaged,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.engaged,
      cell: (row) => seconds(row.engaged),
    },
  ];
}

const ratio = (value: number | null) => (value === null ? "–" : format.percent(value));
const seconds = (value: number | null) => (value === null ? "–" : format.duration(value * 1000));

function Totals({ data, isStale }: { data: WebStatistics | undefined; isStale: boolean }) {
  const totals = data?.totals;
  const tile = (name: string, value: string | undefined, more?: string) => (
    <div class="tile" key={name}>
      <dt>{name}</dt>
      <dd class={isStale ? "stale" : ""}>
        <span class="big">{value ?? "…"}</span>
        {more && <span class="soft">{more}</span>}
      </dd>
    </div>
  );
  const of = (value: (numbers: NonNullable<typeof totals>) => string) => totals && value(totals);
  return (
    <dl class="tiles">
      {tile(
        T.pageViews,
        of((one) => format.count(one.views)),
        totals?.unattributed ? M.unattributed(format.count(totals.unattributed)) : undefined,
      )}
      {data?.visitors === undefined
        ? tile(
            M.visitorDays,
            of((one) => format.count(one.visitorDays)),
            M.visitorDaysMore,
          )
        : tile(M.visitors, format.count(data.visitors))}
      {tile(
        M.visits,
        of((one) => format.count(one.visits)),
        of((one) => M.bounced(ratio(one.bounceRate))),
      )}
      {tile(
        M.engaged,
        of((one) => seconds(one.engaged)),
        of((one) => M.ofDuration(seconds(one.duration))),
      )}
    </dl>
  );
}

/** The hours of a day of the site. Where they begin says the service, of a banner, which costs next to nothing. */
function useHours(date: string | undefined, zone: string): readonly number[] | undefined {
  const asked = date && { tsFrom: date, tsTo: date, tz: zone, step: "hour", fill: true };
  const found = useApi<BannerStatistics>(asked ? question("stats/1", asked) : null);
  return asked && !found.isStale ? found.data?.stats.map((one) => Date.parse(one.timestamp)) : undefined;
}

/** Buckets of the range: the hours that are given, else its days. The answer has every bucket with items, so a missing
 * one had none, unless it has not begun. */
export function points(
  data: WebStatistics,
  hours: readonly number[] | undefined,
  fresh: number,
  value: (row: Row) => number,
): Point[] {
  const rows = data.rows ?? [];
  if (data.by === "hour") {
    const of = new Map(rows.map((row) => [Date.parse(row.value), value(row)]));
    const begins = [...new Set([...(hours ?? []), ...of.keys()])].sort((a, b) => a - b);
    const known = (at: number) => (at > serviceNow() ? null : (of.get(at) ?? 0));
    return begins.map((at) => ({ at, value: known(at), isFinal: at + STEP_MS.hour <= fresh }));
  }
  const of = new Map(rows.map((row) => [row.value, value(row)]));
  const [today, done] = [dateIn(data.tz, serviceNow()), dateIn(data.tz, fresh)];
  const made: Point[] = [];
  for (let day = data.from; day <= data.to; day = addDays(day, 1)) {
    const count = day > today ? null : (of.get(day) ?? 0);
    made.push({ at: Date.parse(`${day}T00:00:00Z`), value: count, isFinal: day < done });
  }
  return made;
}
