/** The ranking of a range, and the list by name. */

import { useRef } from "preact/hooks";
import { get, question, type Values } from "../api/client";
import { useApi } from "../api/resource";
import type { Figures, Metrics, Top } from "../api/shapes";
import { Bar } from "../chart/bars";
import { Spark } from "../chart/spark";
import { exportMenu, fileName } from "../export/menu";
import { useBanners } from "../live/use";
import { Command } from "../parts/copy";
import { usePages } from "../parts/pages";
import { Panel } from "../parts/panel";
import { Search } from "../parts/search";
import { type Column, Table } from "../parts/table";
import { TrafficSwitch, trafficOf } from "../parts/traffic";
import { visible } from "../parts/user";
import { pathOf } from "../routes";
import { address, query } from "../state/url";
import { T } from "../text";
import { useAgainst } from "../time/against";
import { ends } from "../time/clicks";
import * as format from "../time/format";
import { comparison, everyClicks, range, zoneOf } from "../view";
import { clickCommand } from "./commands";
import { formerColumns } from "./former";
import { type Named, useNames } from "./names";
import { sparkStep } from "./overview";
import { hasImpressions, METRICS, rateColumns } from "./rates";

const FIRST = 100;
/** Places of each further page of a ranking, and of its file. */
const LATER = 1000;
const FILE = 10_000;
/** Banners that one question about series may name. */
const SERIES_MOST = 100;

interface Row {
  readonly place: number;
  readonly id: number;
  readonly name: string;
  readonly count: number | undefined;
  readonly before?: number;
  readonly spark: readonly number[];
  readonly open: number | undefined;
  readonly figures?: Figures;
}

export function Banners() {
  const wanted = query.value.get("q") ?? "";
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.banners}
      </h1>
      <div class="group choices">
        <search>
          <Search label={T.searchBanners} most={200} reset={wanted !== "" && T.wholeRanking} />
        </search>
        <TrafficSwitch />
      </div>
      {wanted ? <Named_ wanted={wanted} /> : <Ranking />}
    </>
  );
}

/** Series of as many banners as one question may name, over the range of the view or another one. */
function useSeries(ids: readonly number[], over: Values = ends(range.value), every = everyClicks()) {
  const bannerIds = ids.slice(0, SERIES_MOST).join(",");
  const asked = { bannerIds, ...over, step: sparkStep(), fill: true, metrics: METRICS, traffic: trafficOf() };
  const found = useApi<Metrics>(bannerIds ? question("stats", asked) : null, every);
  return new Map(found.data?.banners.map((one) => [one.bannerId, one]));
}

interface Counted {
  readonly bannerId: number;
  readonly count?: number;
  readonly before?: number;
}

function useRows(counted: readonly Counted[], names: (id: number) => string): Row[] {
  const ids = counted.map((one) => one.bannerId);
  const live = useBanners(ids);
  const now = useSeries(ids);
  return counted.map((one, index): Row => {
    const found = now.get(one.bannerId);
    const open = live.latest(one.bannerId);
    return {
      place: index + 1,
      id: one.bannerId,
      name: names(one.bannerId),
      count: one.count ?? found?.totals.clicks,
      ...(found && { figures: found.totals }),
      ...(one.before !== undefined && { before: one.before }),
      spark: found?.stats.map((bucket) => bucket.clicks ?? 0) ?? [],
      open: open?.count,
    };
  });
}

function columnsFor(most: number, rows: readonly Row[], isRanking: boolean): Column<Row>[] {
  return [
    ...(isRanking
      ? [{ key: "place", name: T.place, isNumber: true, isExtra: true, text: (row: Row) => row.place }]
      : []),
    {
      key: "id",
      name: T.banner,
      sorts: true,
      text: (row) => row.id,
      cell: (row) => <a href={address(pathOf("banners", row.id))}>{row.id}</a>,
    },
    {
      key: "name",
      name: T.name,
      sorts: true,
      text: (row) => row.name,
      cell: (row) => <bdi class="user">{row.name || "–"}</bdi>,
    },
    {
      key: "count",
      name: T.clicks,
      isNumber: true,
      sorts: true,
      text: (row) => row.count,
      cell: (row) => (row.count === undefined ? "–" : <Bar value={row.count} most={most} />),
    },
    ...(comparison.value === "off" ? [] : formerColumns<Row>((row) => row.count)),
    ...(rows.some((row) => hasImpressions(row.figures)) ? rateColumns<Row>() : []),
    ...(rows.some((row) => row.open !== undefined) && trafficOf() === "human"
      ? [
          {
            key: "open",
            name: T.thisMinute,
            isNumber: true,
            sorts: true,
            text: (row: Row) => row.open,
            cell: (row: Row) => <span class="open">{row.open === undefined ? "–" : `${format.count(row.open)}~`}</span>,
          },
        ]
      : []),
    { key: "spark", name: T.course, isWide: true, text: () => "", cell: (row) => <Spark values={row.spark} /> },
  ];
}

/** A page of a ranking, with the names of its banners where these were asked for with it. */
type Page = Top & { readonly named?: Named["banners"] };

async function later(address: string): Promise<Page> {
  const page = await get<Top>(address);
  const ids = page.banners.map((one) => one.bannerId).join(",");
  const { banners } = await get<Named>(question("banners", { ids, limit: LATER }));
  return { ...page, named: banners };
}

function Ranking() {
  const asked = range.value;
  const zone = zoneOf();
  const against = useAgainst();
  const traffic = trafficOf();
  const wantedOf = { ...ends(asked), traffic: traffic === "human" ? null : traffic };
  const plain = question("stats/top", wantedOf);
  const { first, pages, more } = usePages<Page>(
    against ? question("stats/top", { ...wantedOf, ...against, limit: FIRST }) : null,
    { every: everyClicks(), key: plain, later: { limit: String(LATER) }, ask: later },
  );
  const shownOf = useRef("");
  if (first.data && !first.isStale) shownOf.current = plain;
  // The range to compare with grows each minute; the counts are those of the same range.
  const top = { ...first, isStale: first.isStale && shownOf.current !== plain };
  const seen = new Set<number>();
  const places = pages
    .flatMap((page) => page.banners)
    .filter((one) => !seen.has(one.bannerId) && seen.add(one.bannerId));
  const known = useNames(pages[0]?.banners.map((one) => one.bannerId) ?? []);
  const named = new Map(pages.flatMap((page) => page.named ?? []).map((one) => [one.bannerId, visible(one.name)]));
  const rows = useRows(places, (id) => named.get(id) ?? known(id));
  const columns = columnsFor(places[0]?.count ?? 0, rows, true);
  const caption = `${T.topBanners}, ${format.range(asked, zone)}, ${zone}`;
  return (
    <Panel
      title={T.topBanners}
      of={top}
      note={T.clicksAreNotPeople}
      tools={
        first.data &&
        exportMenu({
          file: fileName(["top", asked.from, asked.to, zone, first.data.asOf]),
          caption,
          columns: columns.filter((one) => one.key !== "spark"),
          rows,
          address: first.address,
          files: first.address.replace(`limit=${FIRST}`, `limit=${FILE}`),
          service: ["CSV"],
        })
      }
      empty={(data) =>
        data.banners.length === 0 &&
        !data.partial && (
          <>
            <p>{T.noClicks(format.range(asked, zone))}</p>
            <Command text={clickCommand()} />
          </>
        )
      }
    >
      {() => <Table caption={caption} columns={columns} rows={rows} rowKey={(row) => row.id} more={more} />}
    </Panel>
  );
}

/** Registered banners whose id or name matches, page by page. */
function Named_({ wanted }: { wanted: string }) {
  const { first, pages, more } = usePages<Named>(question("banners", { q: wanted, limit: FIRST }), { isSteady: true });
  const listed = pages.flatMap((page) => page.banners);
  const names = new Map(listed.map((one) => [one.bannerId, visible(one.name)]));
  const against = useAgainst();
  const past = useFormer(
    listed.map((one) => one.bannerId),
    against,
  );
  const counted = listed.map((one): Counted => ({ bannerId: one.bannerId, ...past(one.bannerId) }));
  const rows = useRows(counted, (id) => names.get(id) ?? "");
  const most = Math.max(0, ...rows.map((row) => row.count ?? 0));
  return (
    <Panel
      title={T.foundBanners(visible(wanted))}
      of={first}
      empty={(data) => data.banners.length === 0 && <p>{T.noBanner(visible(wanted))}</p>}
    >
      {() => (
        <Table
          caption={`${T.foundBanners(visible(wanted))}, ${format.range(range.value, zoneOf())}, ${zoneOf()}`}
          columns={columnsFor(most, rows, false)}
          rows={rows}
          rowKey={(row) => row.id}
          more={more}
        />
      )}
    </Panel>
  );
}

/** Counts of banners in the range to compare with. */
function useFormer(ids: readonly number[], against: Values | undefined): (id: number) => { before?: number } {
  const has = against?.againstFrom !== undefined;
  const past = useSeries(has ? ids : [], { tsFrom: against?.againstFrom, tsTo: against?.againstTo, tz: zoneOf() }, 0);
  return (id) => {
    const found = past.get(id);
    return found?.totals.clicks === undefined ? {} : { before: found.totals.clicks };
  };
}
