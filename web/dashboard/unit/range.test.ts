import { describe, expect, it } from "vitest";
import { change, compared } from "../src/time/compare";
import * as format from "../src/time/format";
import { asDates, custom, dateIn, isDate, isMoment, PRESETS, preset, shifted } from "../src/time/range";
import { automatic, isAllowed } from "../src/time/step";

const AT = Date.parse("2026-03-01T12:34:56.789Z");

describe("presets", () => {
  it("ask for days as dates of the zone and for hours as moments", () => {
    expect(preset("today", AT, "Europe/Berlin")).toEqual({
      isDays: true,
      from: "2026-03-01",
      to: "2026-03-01",
      isRunning: true,
    });
    expect(preset("1h", AT, "Europe/Berlin")).toEqual({
      isDays: false,
      from: "2026-03-01T11:35:00Z",
      to: "2026-03-01T12:35:00Z",
      isRunning: true,
    });
  });

  it("know that it is another day elsewhere", () => {
    const late = Date.parse("2026-03-01T23:30:00Z");
    expect(preset("today", late, "UTC").from).toBe("2026-03-01");
    expect(preset("today", late, "Europe/Berlin").from).toBe("2026-03-02");
    expect(preset("yesterday", late, "Pacific/Apia").to).toBe("2026-03-01");
    expect(dateIn("America/New_York", Date.parse("2026-03-01T04:59:59Z"))).toBe("2026-02-28");
  });

  it("count months by the calendar, over the end of a year too", () => {
    const january = Date.parse("2026-01-31T12:00:00Z");
    expect(preset("lastmonth", january, "UTC")).toMatchObject({
      from: "2025-12-01",
      to: "2025-12-31",
      isRunning: false,
    });
    expect(preset("12m", january, "UTC").from).toBe("2025-02-01");
    expect(preset("28d", Date.parse("2028-03-01T00:00:00Z"), "UTC").from).toBe("2028-02-03");
  });

  it("end in the minute that is running", () => {
    for (const name of PRESETS) {
      const range = preset(name, AT, "UTC");
      expect(range.isRunning, name).toBe(name !== "yesterday" && name !== "lastmonth");
      expect(range.from <= range.to, name).toBe(true);
    }
  });
});

describe("custom ranges", () => {
  it("take two dates or two moments", () => {
    expect(custom("2026-02-01", "2026-02-03", AT, "UTC")).toMatchObject({ isDays: true, isRunning: false });
    expect(custom("2026-03-01T12:00:00Z", "2026-03-01T14:00:00+01:00", AT, "UTC")).toMatchObject({
      isDays: false,
      isRunning: true,
    });
  });

  it.each([
    ["2026-02-30", "2026-03-01"],
    ["2026-03-02", "2026-03-01"],
    ["2026-03-01", "2026-03-01T12:00:00Z"],
    ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"],
    ["2026-03-01T12:00:00", "2026-03-01T13:00:00"],
    ["yesterday", "today"],
    ["", ""],
  ])("refuse %s to %s", (from, to) => {
    expect(custom(from, to, AT, "UTC")).toBeUndefined();
  });

  it("know dates and moments", () => {
    expect(isDate("2028-02-29")).toBe(true);
    expect(isDate("2026-02-29")).toBe(false);
    expect(isMoment("2026-03-01T12:07Z")).toBe(true);
    expect(isMoment("2026-03-01 12:07Z")).toBe(false);
  });

  it("move by their own length, and whole months by months", () => {
    expect(shifted(custom("2026-02-01", "2026-02-28", AT, "UTC")!, -1, AT, "UTC")).toMatchObject({
      from: "2026-01-01",
      to: "2026-01-31",
    });
    expect(shifted(custom("2026-02-10", "2026-02-12", AT, "UTC")!, 1, AT, "UTC")).toMatchObject({
      from: "2026-02-13",
      to: "2026-02-15",
    });
    expect(shifted(preset("1h", AT, "UTC"), -2, AT, "UTC")).toMatchObject({
      from: "2026-03-01T09:35:00Z",
      to: "2026-03-01T10:35:00Z",
    });
  });

  it("become dates of the zone, the end being outside", () => {
    const hours = custom("2026-03-01T22:00:00Z", "2026-03-01T23:00:00Z", AT, "Europe/Berlin")!;
    expect(asDates(hours, "Europe/Berlin")).toEqual({ from: "2026-03-01", to: "2026-03-01" });
    expect(asDates(hours, "Europe/Kyiv")).toEqual({ from: "2026-03-02", to: "2026-03-02" });
  });
});

describe("comparisons", () => {
  it("go back by dates, so that clock changes move nothing", () => {
    const range = custom("2026-03-29", "2026-03-29", AT, "Europe/Berlin")!;
    expect(compared(range, "previous", AT, "Europe/Berlin")).toMatchObject({ from: "2026-03-28", to: "2026-03-28" });
    expect(compared(range, "week", AT, "Europe/Berlin")).toMatchObject({ from: "2026-03-22" });
    expect(compared(range, "year", AT, "Europe/Berlin")).toMatchObject({ from: "2025-03-30" });
    expect(compared(range, "off", AT, "Europe/Berlin")).toBeUndefined();
  });

  it("read new from 0, and nothing from 0 to 0", () => {
    expect(change(5, 0)).toEqual({ kind: "new" });
    expect(change(0, 0)).toEqual({ kind: "none" });
    expect(change(6, 4)).toEqual({ kind: "ratio", ratio: 0.5 });
    expect(change(5, undefined)).toBeUndefined();
  });
});

describe("steps", () => {
  it("keep a series below 1,500 buckets", () => {
    expect(automatic(preset("today", AT, "UTC"))).toBe("minute");
    expect(automatic(preset("7d", AT, "UTC"))).toBe("hour");
    expect(automatic(preset("12m", AT, "UTC"))).toBe("day");
  });

  it("stay within the bounds of the interface", () => {
    expect(isAllowed("minute", custom("2026-01-01", "2026-01-31", AT, "UTC")!)).toBe(true);
    expect(isAllowed("minute", custom("2026-01-01", "2026-02-01", AT, "UTC")!)).toBe(false);
  });
});

describe("words", () => {
  it("name a repeated hour by its offset", () => {
    const hours = ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"].map(Date.parse);
    expect(format.stamps(hours, "Europe/Berlin", "hour")).toEqual([
      "2026-10-25 02:00 +02",
      "2026-10-25 02:00 +01",
      "2026-10-25 03:00",
    ]);
  });

  it("name a repeated half hour, as Lord Howe has one", () => {
    const times = ["2026-04-04T14:30:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"].map(Date.parse);
    expect(format.stamps(times, "Australia/Lord_Howe", "minute")).toEqual([
      "2026-04-05 01:30 +11",
      "2026-04-05 01:30 +10:30",
      "2026-04-05 02:00",
    ]);
  });

  it("round durations without a 60th second", () => {
    expect(format.duration(119_700)).toBe("2 min 0 s");
    expect(format.duration(59_949)).toBe("59.9 s");
    expect(format.duration(7_199_600)).toBe("2 h 0 min");
  });

  it("have a sign", () => {
    expect(format.signed(0.041)).toBe("+4.1 %");
    expect(format.signed(-0.008)).toBe("−0.8 %");
    expect(format.signed(0.0001)).toBe("±0 %");
  });
});
