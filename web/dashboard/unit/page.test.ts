import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Lane, question } from "../src/api/client";
import { problemOf } from "../src/api/problem";
import { visible } from "../src/parts/user";
import { pathOf, route } from "../src/routes";
import * as url from "../src/state/url";
import * as view from "../src/view";

const SOURCE = join(import.meta.dirname, "../src");
const files = readdirSync(SOURCE, { recursive: true, encoding: "utf8" }).filter(
  (name) => /\.tsx?$/.test(name) && !name.endsWith(".d.ts"),
);

describe("the source", () => {
  it.each(files)("%s makes no markup from texts and names no other host", (name) => {
    const text = readFileSync(join(SOURCE, name), "utf8");
    expect(text).not.toMatch(
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|dangerouslySet/,
    );
    expect(text).not.toMatch(/["'`]https?:\/\/[a-z]/);
    expect(text).not.toMatch(/\sstyle="/);
  });
});

describe("routes", () => {
  it("lead to a view or to nothing", () => {
    expect(route("")).toEqual({ view: "" });
    expect(route("ui/banners/42")).toEqual({ view: "banners", id: "42" });
    expect(route("ui/pages")).toEqual({ view: "pages" });
    for (const path of ["ui/unknown", "ui/pages/1", "ui/banners/1/2", "x", "ui/banners/%"]) {
      expect(route(path)?.id === "%" || route(path) === undefined, path).toBe(true);
    }
    expect(pathOf("trackers", "a/b")).toBe("ui/trackers/a%2Fb");
  });
});

describe("the address", () => {
  beforeEach(() => url.visit(`${url.ROOT}?`));

  it("is written in plain words", () => {
    url.set({ from: "2026-03-01T12:00:00Z", to: "2026-03-01T13:00:00Z", tz: "Europe/Berlin", b: "42,43" });
    expect(location.search).toBe("?from=2026-03-01T12:00:00Z&to=2026-03-01T13:00:00Z&tz=Europe/Berlin&b=42,43");
    expect(view.range.value.isDays).toBe(false);
    expect(view.zoneOf()).toBe("Europe/Berlin");
  });

  it.each([
    ["range=forever", "range"],
    ["tz=Mars/Base", "tz"],
    ["step=second", "step"],
    ["vs=never", "vs"],
    ["from=2026-03-02&to=2026-03-01", "from"],
    ["step=minute&from=2025-01-01&to=2026-01-01", "step"],
  ])("falls back to the default and says so: %s", async (query, name) => {
    url.visit(`${url.ROOT}?${query}`);
    void [view.range.value, view.zoneOf(), view.step.value, view.comparison.value];
    await vi.waitFor(() => expect([...url.faulty.value]).toContain(name));
  });

  it("names what it does not know", () => {
    url.visit(`${url.ROOT}?range=6h&evil=1`);
    expect(url.unknown.value).toEqual(["evil"]);
  });

  it("keeps range and zone from view to view, and nothing else", () => {
    url.visit(`${url.ROOT}?range=6h&tz=UTC&b=1&view=table`);
    expect(url.address("ui/events", { type: "a b" })).toBe(`${url.ROOT}ui/events?range=6h&tz=UTC&type=a+b`);
  });
});

describe("questions", () => {
  it("leave out what has no value", () => {
    expect(question("stats/1", { tz: "Europe/Berlin", fill: true, approx: false, segment: "", limit: 0 })).toBe(
      "stats/1?tz=Europe%2FBerlin&fill=true&limit=0",
    );
  });

  it("go two at a time in a lane of two, and leave it when given up", async () => {
    const lane = new Lane(2);
    const first = await lane.enter();
    await lane.enter();
    const abort = new AbortController();
    const given = lane.enter(abort.signal);
    const third = vi.fn();
    void lane.enter().then(third);
    abort.abort(new Error("given up"));
    await expect(given).rejects.toThrow("given up");
    expect(third).not.toHaveBeenCalled();
    first();
    first();
    await vi.waitFor(() => expect(third).toHaveBeenCalledTimes(1));
  });
});

describe("problems", () => {
  it("name the scope that is missing, and when to come again", async () => {
    const headers = {
      "www-authenticate": 'Bearer realm="tallybook", error="insufficient_scope", scope="logs:read"',
      "retry-after": "2",
    };
    const body = JSON.stringify({
      code: "forbidden",
      detail: "no",
      requestId: "r1",
      errors: [{ parameter: "segment", position: 3, detail: "x" }],
    });
    const problem = await problemOf(new Response(body, { status: 403, headers }));
    expect(problem).toMatchObject({ code: "forbidden", scope: "logs:read", retryAfter: 2000, requestId: "r1" });
    expect(problem.faults[0]?.position).toBe(3);
  });

  it("are understood from a proxy that speaks HTML", async () => {
    const problem = await problemOf(new Response("<html>", { status: 502 }));
    expect(problem).toMatchObject({ status: 502, code: "http_502" });
  });
});

describe("texts of others", () => {
  it("show what cannot be seen", () => {
    expect(visible("evil\u202etxt.exe\u0000\n")).toBe("evil\\u202etxt.exe\\u0000\\u000a");
    expect(visible("Łódź 🎉")).toBe("Łódź 🎉");
  });
});
