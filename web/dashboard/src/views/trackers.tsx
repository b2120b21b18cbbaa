/** The registered trackers, and which of them were hit most. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { TrackerList as Listed, TrackerTop } from "../api/shapes";
import { Bar } from "../chart/bars";
import { exportMenu, fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { usePages } from "../parts/pages";
import { Panel } from "../parts/panel";
import { Search } from "../parts/search";
import { type Column, Table } from "../parts/table";
import { User, visible } from "../parts/user";
import { pathOf } from "../routes";
import { address, query, ROOT } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { everyRows, range, zoneOf } from "../view";
import { trackerCommand } from "./commands";

const FIRST = 100;

export const imageTag = (id: string) => `<img src="${ROOT}track.gif?id=${id}" alt="" width="1" height="1">`;
export const beacon = (id: string) => `navigator.sendBeacon("${ROOT}track?id=${id}");`;

export function Trackers() {
  const wanted = query.value.get("q") ?? "";
  const zone = zoneOf();
  const asked = range.value;
  const top = useApi<TrackerTop>(
    question("stats/trackers/top", { from: asked.from, to: asked.to, tz: zone, limit: FIRST }),
    everyRows(),
  );
  const { first, pages, more } = usePages<Listed>(question("trackers", { q: wanted, limit: FIRST }), {
    every: 60_000,
    isSteady: true,
  });
  const listed = pages.flatMap((page) => page.trackers);
  const counted = new Map(top.data?.trackers.map((one) => [one.tracker_id, one]));
  const most = top.data?.trackers[0]?.count ?? 0;
  const caption = `${M.topTrackers}, ${format.range(asked, zone)}, ${zone}`;
  const link = (id: string, value: string | undefined) => (
    <a href={address(pathOf("trackers", id))}>{value ? <User text={value} /> : <span class="code">{id}</span>}</a>
  );
  const columns: Column<TrackerTop["trackers"][number]>[] = [
    {
      key: "value",
      name: M.tracker,
      text: (row) => row.value ?? "",
      cell: (row) => link(row.tracker_id, row.value),
    },
    {
      key: "id",
      name: M.id,
      isExtra: true,
      text: (row) => row.tracker_id,
      cell: (row) => <span class="code">{row.tracker_id}</span>,
    },
    {
      key: "count",
      name: M.hits,
      isNumber: true,
      sorts: true,
      text: (row) => row.count,
      cell: (row) => <Bar value={row.count} most={most} />,
    },
    { key: "users", name: T.users, isNumber: true, sorts: true, text: (row) => row.users },
    { key: "bots", name: M.bots, isNumber: true, isExtra: true, sorts: true, text: (row) => row.bots },
  ];
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.trackers}
      </h1>
      <Panel
        title={M.topTrackers}
        of={top}
        tools={
          top.data &&
          exportMenu({
            file: fileName(["trackers", asked.from, asked.to, zone]),
            caption,
            columns,
            rows: top.data.trackers,
            address: top.address,
          })
        }
        empty={(data) => data.trackers.length === 0 && <p>{M.noHits(format.range(asked, zone))}</p>}
      >
        {(data) => <Table caption={caption} columns={columns} rows={data.trackers} rowKey={(row) => row.tracker_id} />}
      </Panel>
      <Panel
        title={M.allTrackers}
        of={first}
        empty={(data) =>
          data.trackers.length === 0 &&
          (wanted ? (
            <p>{M.noTracker(visible(wanted))}</p>
          ) : (
            <>
              <p>{M.noTrackers}</p>
              <Command text={trackerCommand()} />
              <Command text={imageTag("ID")} />
              <Command text={beacon("ID")} />
            </>
          ))
        }
        tools={<Search label={M.searchTrackers} />}
      >
        {() => (
          <Table
            caption={M.allTrackers}
            rows={listed}
            rowKey={(row) => row.tracker_id}
            columns={[
              {
                key: "value",
                name: M.tracker,
                text: (row) => row.value,
                cell: (row) => link(row.tracker_id, row.value),
              },
              {
                key: "id",
                name: M.id,
                isExtra: true,
                text: (row) => row.tracker_id,
                cell: (row) => <span class="code">{row.tracker_id}</span>,
              },
              { key: "hits", name: M.hits, isNumber: true, text: (row) => counted.get(row.tracker_id)?.count },
              {
                key: "at",
                name: `${M.added} (${zone})`,
                isExtra: true,
                text: (row) => format.stamp(Date.parse(row.created_at), zone, "minute"),
              },
            ]}
            more={more}
          />
        )}
      </Panel>
    </>
  );
}
