import { describe, expect, it } from "vitest";
import { highest, points, sumUntil, ticks, total } from "../src/chart/data";
import { columnsOf, described, rowsOf } from "../src/chart/series";
import { csv } from "../src/export/csv";

const at = (minute: number) => new Date(Date.UTC(2026, 2, 1, 12, minute)).toISOString();
const STATS = [
  { timestamp: at(0), count: 4, final: true },
  { timestamp: at(1), count: 0, final: true },
  { timestamp: at(2), count: 7, final: false },
  { timestamp: at(3), count: 0, final: false },
];

describe("points", () => {
  it("draw 0 where the service returned 0, and a gap after asOf", () => {
    expect(points(STATS, false, at(2)).map((point) => point.value)).toEqual([4, 0, 7, null]);
  });

  it("never draw an unknown as 0", () => {
    expect(points(STATS, true).map((point) => point.value)).toEqual([4, null, 7, null]);
  });

  it("are open by the flag and not by place", () => {
    expect(points(STATS.slice(0, 2)).map((point) => point.isFinal)).toEqual([true, true]);
  });

  it("are cut at the elapsed time", () => {
    expect(sumUntil(points(STATS), 120_000)).toBe(4);
    expect(sumUntil(points(STATS), 121_000)).toBe(11);
    expect(total(points(STATS))).toBe(11);
    expect(highest(points(STATS))?.value).toBe(7);
  });
});

describe("ticks", () => {
  it("are labels of buckets, also where an hour comes twice", () => {
    const hours = Array.from({ length: 25 }, (_, hour) => Date.UTC(2026, 9, 24, 22 + hour));
    const found = ticks(hours, "Europe/Berlin", "hour", 30);
    expect(found.map((tick) => tick.text).filter((text) => text === "02:00")).toHaveLength(2);
    expect(found.every((tick) => hours.includes(tick.at))).toBe(true);
  });

  it("fit into the room", () => {
    const minutes = Array.from({ length: 1440 }, (_, minute) => Date.UTC(2026, 2, 1, 0, minute));
    for (const room of [2, 4, 9, 16])
      expect(ticks(minutes, "UTC", "minute", room).length).toBeLessThanOrEqual(room + 1);
  });
});

describe("the table twin", () => {
  const lines = [{ name: "Clicks", points: points(STATS, false, at(2)), before: points(STATS) }];
  const props = { lines, step: "minute" as const, zone: "UTC" };

  it("has the newest first, no row of the future, and says what is final", () => {
    const rows = rowsOf(lines, "UTC", "minute", Date.parse(at(2)));
    expect(csv(columnsOf(props), rows)).toBe(
      [
        'Minute (UTC),Clicks,Before,"Before, when",Final',
        "2026-03-01 12:02,7,7,2026-03-01 12:02,no",
        "2026-03-01 12:01,0,0,2026-03-01 12:01,yes",
        "2026-03-01 12:00,4,4,2026-03-01 12:00,yes",
        "",
      ].join("\r\n"),
    );
  });

  it("is told in sentences", () => {
    const range = { isDays: false, from: at(0), to: at(4), isRunning: true };
    const text = described({ ...props, title: "Clicks per minute", range, file: "x" });
    expect(text).toContain("Clicks per minute, 1 Mar, 12:00 to 12:04 UTC.");
    expect(text).toContain("Highest 7 at Sun 1 Mar 2026, 12:02.");
    expect(text).toContain("The last bucket is still open.");
  });
});
