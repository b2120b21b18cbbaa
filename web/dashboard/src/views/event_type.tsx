/** One type of events over time. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import { Series } from "../chart/series";
import { fileName } from "../export/menu";
import { Panel } from "../parts/panel";
import { visible } from "../parts/user";
import { serviceNow } from "../state/clock";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { everyRows, range, step, zoneOf } from "../view";

interface EventSeries {
  readonly asOf?: string;
  readonly freshUntil?: string | null;
  readonly count: number;
  readonly users?: number;
  readonly stats: readonly { timestamp: string; count: number; users: number }[];
}

/** Buckets that rows may still come into: those that end after everything known to be stored. */
export function isOpen(at: number, freshUntil: string | null | undefined, lengthMs: number): boolean {
  return at + lengthMs > (freshUntil ? Date.parse(freshUntil) : serviceNow());
}

const LENGTHS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

export function TypeOverTime({ type, segment }: { type: string; segment: string }) {
  const asked = range.value;
  const zone = zoneOf();
  const by = step.value;
  const found = useApi<EventSeries>(
    question("stats/events", { from: asked.from, to: asked.to, step: by, tz: zone, event_type: type, segment }),
    everyRows(),
  );
  const title = M.eventsPer(by);
  return (
    <Panel
      title={`${title}: ${visible(type).slice(0, 64)}`}
      of={found}
      empty={(data) => data.stats.every((one) => one.count === 0) && <p>{T.noEvents(format.range(asked, zone))}</p>}
    >
      {(data) => {
        const line = (name: string, value: (one: EventSeries["stats"][number]) => number) => ({
          name,
          points: data.stats.map((one) => {
            const at = Date.parse(one.timestamp);
            return {
              at,
              value: at > serviceNow() ? null : value(one),
              isFinal: !isOpen(at, data.freshUntil, LENGTHS[by]),
            };
          }),
        });
        return (
          <Series
            title={title}
            lines={[line(T.events, (one) => one.count), line(T.users, (one) => one.users)]}
            step={by}
            zone={zone}
            range={asked}
            asOf={data.asOf}
            adds={false}
            zooms
            file={fileName(["events", by, asked.from, asked.to, zone])}
            address={found.address}
            exports={["CSV", "NDJSON", "Parquet"]}
          />
        );
      }}
    </Panel>
  );
}
