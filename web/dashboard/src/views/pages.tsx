/** Page views: how many, by how many users, how long, and which pages. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { PageStatistics } from "../api/shapes";
import { Bar } from "../chart/bars";
import type { Line } from "../chart/data";
import { Series } from "../chart/series";
import { exportMenu, fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { Panel } from "../parts/panel";
import { type Column, Table } from "../parts/table";
import { Changed } from "../parts/tile";
import { User } from "../parts/user";
import { serviceNow } from "../state/clock";
import { address, query, set } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { DAY_MS, length } from "../time/range";
import { STEP_MS, type Step } from "../time/step";
import { before, comparison, everyRows, isAuto, range, step, zoneOf } from "../view";
import { viewsCommand } from "./commands";
import { formerColumns, hasFormer } from "./former";
import { pageEnds, pageZone } from "./overview";

const PAGES = 100;
/** Days for which page views are kept by minute. */
const MINUTES_DAYS = 7;
/** Hours up to which views are shown by minute without being asked. */
const HOURS_FINE = 6;

type Place = NonNullable<PageStatistics["pages"]>[number];

export function Pages() {
  const asked = range.value;
  const page = query.value.get("page") ?? "";
  const isRecent = Date.parse(asked.from) > serviceNow() - MINUTES_DAYS * DAY_MS;
  const isFine = step.value === "minute" && (!isAuto.value || length(asked) <= HOURS_FINE * STEP_MS.hour);
  const by: Step = isFine && isRecent ? "minute" : step.value === "day" ? "day" : "hour";
  const zone = pageZone(asked);
  const past = hasFormer() ? before.value : undefined;
  // Minutes of the range before may be gone already.
  const isKept = past && (by !== "minute" || Date.parse(past.from) > serviceNow() - MINUTES_DAYS * DAY_MS);
  const former = isKept ? { against_from: past.from, against_to: past.to } : {};
  const found = useApi<PageStatistics>(
    question("stats/pages", { ...pageEnds(asked), step: by, page_id: page, limit: PAGES, fill: true, ...former }),
    everyRows(),
  );
  const against = T.comparisons[comparison.value]!;
  const caption = `${T.topPages}, ${format.range(asked, zone)}, ${zone}`;
  const columns: Column<Place>[] = [
    {
      key: "page",
      name: T.page,
      sorts: true,
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
      sorts: true,
      text: (row) => row.views,
      cell: (row) => <Bar value={row.views} most={found.data?.pages?.[0]?.views ?? 0} />,
    },
    ...(isKept ? formerColumns<Place>((row) => row.views) : []),
    { key: "users", name: T.users, isNumber: true, sorts: true, text: (row) => row.users },
    {
      key: "duration",
      name: M.meanDuration,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.average_duration_ms,
      cell: (row) => format.duration(row.average_duration_ms),
    },
    {
      key: "bounces",
      name: M.bounceRate,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.bounce_rate,
      cell: (row) => format.percent(row.bounce_rate),
    },
  ];
  const until = found.data?.freshUntil ? Date.parse(found.data.freshUntil) : serviceNow();
  const points = (data: PageStatistics, value: (one: PageStatistics["stats"][number]) => number | null) =>
    data.stats.map((one) => {
      const at = Date.parse(one.timestamp);
      return { at, value: at > serviceNow() ? null : value(one), isFinal: at + STEP_MS[by] <= until };
    });
  const line = (data: PageStatistics, name: string, value: (one: PageStatistics["stats"][number]) => number): Line => ({
    name,
    points: points(data, value),
  });
  // Without views there is no mean and no rate.
  const rate = (data: PageStatistics, name: string, value: (one: PageStatistics["stats"][number]) => number): Line => ({
    name,
    points: points(data, (one) => (one.views ? value(one) : null)),
  });
  const file = (kind: string) => fileName(["pages", kind, by, asked.from, asked.to, zone]);
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {page ? T.page : T.views.pages} {page && <User text={page} />}
      </h1>
      {page && (
        <p class="apart">
          <button type="button" onClick={() => set({ page: null })}>
            {M.allPages}
          </button>
        </p>
      )}
      <dl class="tiles">
        <Sum name={T.pageViews} data={found.data} value={(data) => format.count(data.total.views)}>
          {found.data && <Changed value={found.data.total.views} before={found.data.before?.views} against={against} />}
        </Sum>
        <Sum name={T.users} data={found.data} value={(data) => format.count(data.total.users)}>
          {found.data && <Changed value={found.data.total.users} before={found.data.before?.users} against={against} />}
        </Sum>
        <Sum
          name={M.meanDuration}
          data={found.data}
          value={(data) => (data.total.views ? format.duration(data.total.average_duration_ms) : "–")}
        />
        <Sum
          name={M.bounceRate}
          data={found.data}
          value={(data) => (data.total.views ? format.percent(data.total.bounce_rate) : "–")}
        />
      </dl>
      <Panel
        title={M.viewsPer(by)}
        of={found}
        {...(zone !== zoneOf() && { chip: zone })}
        note={M.usersDoNotAdd}
        empty={(data) =>
          data.total.views === 0 && (
            <>
              <p>{T.noViewsIn(format.range(asked, zone))}</p>
              {!page && <Command text={viewsCommand()} />}
            </>
          )
        }
      >
        {(data) => (
          <>
            <Series
              title={M.viewsPer(by)}
              lines={[line(data, T.pageViews, (one) => one.views), line(data, T.users, (one) => one.users)]}
              step={by}
              zone={zone}
              range={asked}
              adds={false}
              zooms
              file={file("views")}
              asOf={data.asOf}
              address={found.address}
              exports={["CSV", "NDJSON", "Parquet"]}
            />
            <h3>{M.meanDuration}</h3>
            <Series
              title={M.meanDuration}
              lines={[rate(data, M.meanDuration, (one) => one.average_duration_ms)]}
              step={by}
              zone={zone}
              range={asked}
              kind="line"
              adds={false}
              value={format.duration}
              file={file("duration")}
            />
            <h3>{M.bounceRate}</h3>
            <Series
              title={M.bounceRate}
              lines={[rate(data, M.bounceRate, (one) => one.bounce_rate)]}
              step={by}
              zone={zone}
              range={asked}
              kind="line"
              adds={false}
              value={format.percent}
              file={file("bounces")}
            />
          </>
        )}
      </Panel>
      {!page && (
        <Panel
          title={T.topPages}
          of={found}
          {...(zone !== zoneOf() && { chip: zone })}
          tools={
            found.data?.pages &&
            exportMenu({
              file: fileName(["top-pages", asked.from, asked.to, zone]),
              caption,
              columns,
              rows: found.data.pages,
              address: found.address,
            })
          }
          empty={(data) => !data.pages?.length && <p>{T.noViewsIn(format.range(asked, zone))}</p>}
        >
          {(data) => (
            <Table caption={caption} columns={columns} rows={data.pages ?? []} rowKey={(row) => row.page_id} />
          )}
        </Panel>
      )}
    </>
  );
}

function Sum(props: {
  name: string;
  data: PageStatistics | undefined;
  value: (data: PageStatistics) => string;
  children?: preact.ComponentChildren;
}) {
  return (
    <div class="tile">
      <dt>{props.name}</dt>
      <dd>
        <span class="big">{props.data ? props.value(props.data) : "…"}</span>
        {props.children}
      </dd>
    </div>
  );
}
