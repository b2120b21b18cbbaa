/** One type of events over time. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { EventSeries } from "../api/shapes";
import { Series } from "../chart/series";
import { fileName } from "../export/menu";
import { Panel } from "../parts/panel";
import { visible } from "../parts/user";
import { serviceNow } from "../state/clock";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { automatic, isAllowed, STEP_MS, type Step } from "../time/step";
import { everyRows, range, step, zoneOf } from "../view";
import { useFresh } from "./fresh";

/** Longest ranges of this question in days. */
const MOST_DAYS: Readonly<Record<Step, number>> = { minute: 2, hour: 62, day: 1098 };

export function TypeOverTime({ type, segment }: { type: string; segment: string }) {
  const asked = range.value;
  const zone = zoneOf();
  const by = isAllowed(step.value, asked, MOST_DAYS) ? step.value : automatic(asked);
  const fresh = useFresh("events");
  const found = useApi<EventSeries>(
    question("stats/events", {
      from: asked.from,
      to: asked.to,
      step: by,
      tz: zone,
      event_type: type,
      segment,
      fill: true,
    }),
    everyRows(),
  );
  const title = M.eventsPer(by);
  return (
    <Panel
      title={`${title}: ${visible(type).slice(0, 64)}`}
      of={found}
      empty={(data) => data.total.count === 0 && <p>{T.noEvents(format.range(asked, zone))}</p>}
    >
      {(data) => {
        const line = (name: string, value: (one: EventSeries["stats"][number]) => number) => ({
          name,
          points: data.stats.map((one) => {
            const at = Date.parse(one.timestamp);
            return { at, value: at > serviceNow() ? null : value(one), isFinal: at + STEP_MS[by] <= fresh };
          }),
        });
        return (
          <>
            <p class="soft">{M.eventsByUsers(format.count(data.total.count), format.count(data.total.users))}</p>
            <Series
              title={title}
              lines={[line(T.events, (one) => one.count), line(T.users, (one) => one.users)]}
              step={by}
              zone={zone}
              range={asked}
              adds={false}
              zooms
              file={fileName(["events", by, asked.from, asked.to, zone])}
              address={found.address}
              exports={["CSV", "NDJSON", "Parquet"]}
            />
          </>
        );
      }}
    </Panel>
  );
}
