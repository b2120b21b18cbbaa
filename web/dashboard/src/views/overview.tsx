/** How things stand: clicks, users, page views, leaders and health at one glance. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { DailyUsers, PageStatistics, Ready, Statistics, Top, TopEvents, Total } from "../api/shapes";
import { Bar } from "../chart/bars";
import { points } from "../chart/data";
import { Series } from "../chart/series";
import { Spark } from "../chart/spark";
import { fileName } from "../export/menu";
import { useTop } from "../live/use";
import { Later } from "../parts/later";
import { Panel } from "../parts/panel";
import { Table } from "../parts/table";
import { Changed, Tile } from "../parts/tile";
import { User } from "../parts/user";
import { pathOf } from "../routes";
import { now } from "../state/clock";
import { address } from "../state/url";
import { T } from "../text";
import { ends, useCompared } from "../time/clicks";
import { compared } from "../time/compare";
import * as format from "../time/format";
import { asDates, dateIn, type Range } from "../time/range";
import { automatic, isAllowed, type Step } from "../time/step";
import { comparison, everyClicks, everyRows, range, step, zoneOf } from "../view";
import { useNames } from "./names";

const LEADERS = 8;
const CHECK_MS = 15_000;

/** Longest ranges of the sum over all banners in days. */
const MOST_DAYS: Readonly<Record<Step, number>> = { minute: 2, hour: 31, day: 366 };

export function Overview() {
  const asked = range.value;
  const zone = zoneOf();
  const dates = asDates(asked, zone);
  const against = T.comparisons[comparison.value]!;
  const by = isAllowed(step.value, asked, MOST_DAYS) ? step.value : automatic(asked);
  const clicks = useCompared<Total>("stats/total", {}, by);
  const live = useTop();
  const top = useApi<Top>(question("stats/top", { ...ends(asked), limit: LEADERS }), everyClicks());
  const ids = top.data?.banners.map((one) => one.bannerId) ?? [];
  const lines = useApi<Statistics>(
    ids.length ? question("stats", { bannerIds: ids.join(","), ...ends(asked), step: sparkStep(), fill: true }) : null,
    60_000,
  );
  const today = dateIn(zone, now.value);
  const pastDay = compared(
    { isDays: true, from: dates.to, to: dates.to, isRunning: false },
    comparison.value,
    now.value,
    zone,
  )?.from;
  const users = useApi<DailyUsers>(
    question("stats/dau", { from: pastDay ?? dates.to, to: dates.to, tz: zone }),
    everyRows(),
  );
  const types = useApi<TopEvents>(question("stats/top-events", { ...dates, tz: zone, limit: LEADERS }), everyRows());
  const pages = useApi<PageStatistics>(
    question("stats/pages", { ...pageEnds(asked), step: "hour", limit: LEADERS }),
    everyRows(),
  );
  const ready = useApi<Ready>("health/ready", CHECK_MS);
  const names = useNames(ids);

  const isNew =
    clicks.now.data?.total === 0 &&
    types.data?.events.length === 0 &&
    pages.data?.total.views === 0 &&
    !clicks.now.data.partial;
  const open =
    by === "minute" && asked.isRunning
      ? clicks.now.data?.stats.findLast((one) => Date.parse(one.timestamp) <= Date.parse(clicks.now.data?.asOf ?? ""))
      : undefined;
  const most = top.data?.banners[0]?.count ?? 0;

  return (
    <>
      <h1 id="title" class="sr" tabIndex={-1}>
        {T.views[""]}
      </h1>
      <dl class="tiles">
        <Tile
          name={T.clicks}
          of={clicks.now}
          value={(data) => format.count(data.total)}
          more={(data) => (
            <>
              <Changed value={data.total} before={clicks.cut.data?.total} against={against} />
              {open && (
                <span class="soft">
                  {T.thisMinute} <span class="open">{format.count(open.count) + (open.final ? "" : "~")}</span>
                </span>
              )}
            </>
          )}
          href={address("ui/banners")}
        />
        <Tile
          name={dates.to === today ? T.usersToday : T.usersOn(format.date(dates.to))}
          of={users}
          value={(data) => format.count(data.days.at(-1)?.users ?? 0)}
          more={(data) =>
            pastDay && (
              <span class="soft">
                {T.wholeDayBefore(
                  format.date(pastDay),
                  format.count(data.days.find((day) => day.date === pastDay)?.users ?? 0),
                )}
              </span>
            )
          }
          href={address("ui/events")}
        />
        <Tile
          name={T.pageViews}
          of={pages}
          value={(data) => format.count(data.total.views)}
          more={(data) => <span class="soft">{T.byUsers(format.count(data.total.users))}</span>}
          href={address("ui/pages")}
        />
        <Tile
          name={T.views.health!}
          of={ready}
          value={(data) => <span class={`state ${data.status}`}>{T.states[data.status]}</span>}
          more={(data) =>
            data.reasons?.slice(0, 2).map((reason) => (
              <span key={reason} class="soft">
                <User text={reason} />
              </span>
            ))
          }
          href={address("ui/health")}
        />
      </dl>
      {isNew && <Later show={(more) => <more.FirstRun />} />}
      <Panel
        title={T.clicksPer(by)}
        of={clicks.now}
        empty={(data) => data.total === 0 && !data.partial && <p>{T.noClicks(format.range(asked, zone))}</p>}
        note={T.clicksAreNotPeople}
      >
        {(data) => (
          <Series
            title={T.clicksPer(by)}
            lines={[
              {
                name: T.clicks,
                points: points(data.stats, data.partial, data.asOf),
                ...(clicks.past.data && { before: points(clicks.past.data.stats, clicks.past.data.partial) }),
              },
            ]}
            step={by}
            zone={zone}
            range={asked}
            asOf={data.asOf}
            zooms
            comparedWith={against}
            file={fileName(["clicks", by, asked.from, asked.to, zone, data.asOf])}
            address={clicks.now.address}
            exports={["CSV"]}
          />
        )}
      </Panel>
      <div class="columns">
        <Panel
          title={live ? T.topBannersLive : T.topBanners}
          of={top}
          empty={(data) => data.banners.length === 0 && !live && <p>{T.noClicks(format.range(asked, zone))}</p>}
        >
          {(data) => {
            const rows = live ?? data.banners;
            return (
              <Table
                caption={live ? T.topBannersLive : `${T.topBanners}, ${format.range(asked, zone)}`}
                rows={rows.slice(0, LEADERS)}
                rowKey={(row) => row.bannerId}
                columns={[
                  {
                    key: "id",
                    name: T.banner,
                    text: (row) => names(row.bannerId),
                    cell: (row) => (
                      <a href={address(pathOf("banners", row.bannerId))}>
                        {row.bannerId} <bdi class="user">{names(row.bannerId)}</bdi>
                      </a>
                    ),
                  },
                  {
                    key: "count",
                    name: T.clicks,
                    isNumber: true,
                    text: (row) => row.count,
                    cell: (row) => <Bar value={row.count} most={live?.[0]?.count ?? most} />,
                  },
                  {
                    key: "spark",
                    name: T.course,
                    isExtra: true,
                    text: () => "",
                    cell: (row) => (
                      <Spark
                        values={
                          lines.data?.banners
                            .find((one) => one.bannerId === row.bannerId)
                            ?.stats.map((one) => one.count) ?? []
                        }
                      />
                    ),
                  },
                ]}
              />
            );
          }}
        </Panel>
        <Panel
          title={T.topEvents}
          of={types}
          empty={(data) =>
            data.events.length === 0 && (
              <p>{T.noEvents(format.range({ isDays: true, ...dates, isRunning: false }, zone))}</p>
            )
          }
        >
          {(data) => (
            <Table
              caption={`${T.topEvents}, ${format.range({ isDays: true, ...dates, isRunning: false }, zone)}`}
              rows={data.events}
              rowKey={(row) => row.event_type}
              columns={[
                {
                  key: "type",
                  name: T.eventType,
                  text: (row) => row.event_type,
                  cell: (row) => (
                    <a href={address("ui/events", { type: row.event_type })}>
                      <User text={row.event_type} />
                    </a>
                  ),
                },
                {
                  key: "count",
                  name: T.events,
                  isNumber: true,
                  text: (row) => row.count,
                  cell: (row) => <Bar value={row.count} most={data.events[0]?.count ?? 0} />,
                },
              ]}
            />
          )}
        </Panel>
        <Panel
          title={T.topPages}
          of={pages}
          {...(pageZone(asked) !== zone && { chip: pageZone(asked) })}
          empty={(data) => data.total.views === 0 && <p>{T.noViewsIn(format.range(asked, zone))}</p>}
        >
          {(data) => (
            <Table
              caption={`${T.topPages}, ${format.range(asked, zone)}`}
              rows={data.pages ?? []}
              rowKey={(row) => row.page_id}
              columns={[
                {
                  key: "page",
                  name: T.page,
                  text: (row) => row.page_id,
                  cell: (row) => (
                    <a href={address("ui/pages", { page: row.page_id })}>
                      <User text={row.page_id} />
                    </a>
                  ),
                },
                {
                  key: "views",
                  name: T.pageViews,
                  isNumber: true,
                  text: (row) => row.views,
                  cell: (row) => <Bar value={row.views} most={data.pages?.[0]?.views ?? 0} />,
                },
                { key: "users", name: T.users, isNumber: true, text: (row) => row.users },
              ]}
            />
          )}
        </Panel>
      </div>
    </>
  );
}

/** Sparklines have a few dozen steps. */
export function sparkStep() {
  return step.value === "minute"
    ? "hour"
    : step.value === "hour" && range.value.isDays && range.value.from < range.value.to
      ? "day"
      : step.value;
}

/** The zone of page views: hours of UTC are kept, which are no hours where clocks differ by a part of one. */
export function pageZone(asked: Range): string {
  const zone = zoneOf();
  return [asked.from, asked.to].some((at) => format.offset(Date.parse(at), zone).includes(":")) ? "UTC" : zone;
}

/** Ends for page views. */
export function pageEnds(asked: Range) {
  return { from: asked.from, to: asked.to, tz: pageZone(asked) };
}
