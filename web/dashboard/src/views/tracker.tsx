/** Hits of one tracker, and the lines that a page needs to send some. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { TrackerList as Listed, TrackerCount } from "../api/shapes";
import { Series } from "../chart/series";
import { fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { Panel } from "../parts/panel";
import { User } from "../parts/user";
import { serviceNow } from "../state/clock";
import { address } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { STEP_MS } from "../time/step";
import { everyRows, range, step, zoneOf } from "../view";
import { useFresh } from "./fresh";
import { beacon, imageTag } from "./trackers";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

type Hits = TrackerCount;

export function Tracker({ id }: { id: string }) {
  if (!UUID.test(id)) {
    return (
      <>
        <h1 id="title" tabIndex={-1}>
          {M.noTrackerId}
        </h1>
        <a href={address("ui/trackers")}>{T.views.trackers}</a>
      </>
    );
  }
  return <Known id={id.toLowerCase()} />;
}

function Known({ id }: { id: string }) {
  const asked = range.value;
  const zone = zoneOf();
  const by = step.value;
  const hits = useApi<Hits>(
    question("stats", { tracker_id: id, from: asked.from, to: asked.to, step: by, tz: zone, fill: true }),
    everyRows(),
  );
  const fresh = useFresh("tracker_events");
  const named = useApi<Listed>(question("trackers", { q: id, limit: 1 }));
  const value = named.data?.trackers.find((one) => one.tracker_id === id)?.value;
  const { data } = hits;
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {M.tracker} {value !== undefined && <User text={value} />}
      </h1>
      <p class="code soft apart">{id}</p>
      <dl class="tiles">
        {(
          [
            [M.hits, data?.count, ""],
            [T.users, data?.users, M.withoutNobody],
            [M.bots, data?.bots, M.botsAreHits],
          ] as const
        ).map(([name, number, more]) => (
          <div class="tile" key={name}>
            <dt>{name}</dt>
            <dd>
              <span class="big">{number === undefined ? (data ? "–" : "…") : format.count(number)}</span>
              {more && <span class="soft">{more}</span>}
            </dd>
          </div>
        ))}
      </dl>
      <Panel
        title={M.hitsPer(by)}
        of={hits}
        empty={(found) => found.count === 0 && <p>{M.noHits(format.range(asked, zone))}</p>}
      >
        {(found) => (
          <Series
            title={M.hitsPer(by)}
            lines={[
              {
                name: M.hits,
                points: (found.stats ?? []).map((one) => {
                  const at = Date.parse(one.timestamp);
                  return {
                    at,
                    value: at > serviceNow() ? null : one.count,
                    isFinal: at + STEP_MS[by] <= fresh,
                  };
                }),
              },
            ]}
            step={by}
            zone={zone}
            range={asked}
            zooms
            file={fileName(["tracker", by, asked.from, asked.to, zone])}
            address={hits.address}
          />
        )}
      </Panel>
      <section class="panel">
        <h2>{M.hitFromPage}</h2>
        <Command text={imageTag(id)} />
        <Command text={beacon(id)} />
      </section>
    </>
  );
}
