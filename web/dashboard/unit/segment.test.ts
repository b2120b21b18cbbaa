import { describe, expect, it } from "vitest";
import { parted, unitsOf } from "../src/segment/position";
import { flat, value, written } from "../src/segment/quote";
import { completions } from "../src/segment/suggest";

describe("positions", () => {
  it("are code points of the service and units here", () => {
    expect(unitsOf("a🎉b", 2)).toBe(3);
    expect(parted("user_id:🎉)", 9)).toEqual(["user_id:🎉", ")", ""]);
    expect(parted("a:🎉🎉", 3)).toEqual(["a:🎉", "🎉", ""]);
    expect(parted("event_type:", 11)).toEqual(["event_type:", "", ""]);
  });
});

describe("values", () => {
  it.each([
    ["UA", "UA"],
    ["test 1", '"test 1"'],
    ["and", '"and"'],
    ['say "hi"', '"say \\"hi\\""'],
    ["a:b", '"a:b"'],
    ["", '""'],
    ["10", "10"],
  ])("are quoted where they have to be: %j", (text, expected) => {
    expect(value(text)).toBe(expected);
  });
});

describe("rows", () => {
  it.each([
    "event_type:purchase",
    "event_type:purchase and properties.country:UA",
    "properties.amount>=100 or properties.amount<5",
    'properties."unit price"!=3 and user_id:"test 1"',
  ])("and text say the same: %s", (text) => {
    expect(written(flat(text)!)).toBe(text);
  });

  it.each([
    "not user_id:a",
    "(event_type:a or event_type:b) and user_id:c",
    "event_type:a and user_id:b or user_id:c",
    "event_type:",
    "event_type purchase",
    'properties.n:"10"',
    'user_id:"open',
  ])("do not show what they would rewrite: %s", (text) => {
    expect(flat(text)).toBeUndefined();
  });

  it("are none where there is no text", () => {
    expect(flat("  ")).toEqual({ joint: "and", rules: [] });
  });

  it("read = as :", () => {
    expect(written(flat("event_type=a AND user_id=b")!)).toBe("event_type:a and user_id:b");
  });
});

describe("suggestions", () => {
  const known = [
    { field: "event_type", values: ["purchase", '"a b"'] },
    { field: "properties.country", values: ["UA", "DE"] },
    { field: 'properties."unit price"', values: [] },
  ];
  it.each([
    ["", ["event_type:", "properties.country:", 'properties."unit price":']],
    ["ev", ["event_type:"]],
    ["event_type:", ["event_type:purchase", 'event_type:"a b"']],
    ["event_type:pur", ["event_type:purchase"]],
    [
      "event_type!=purchase and (prop",
      ["event_type!=purchase and (properties.country:", 'event_type!=purchase and (properties."unit price":'],
    ],
    ['not properties."un', []],
    ["x:1 or properties.country:d", ["x:1 or properties.country:DE"]],
    ["event_type:purchase", []],
    ["properties.amount>", []],
  ])("follow %s", (text, expected) => {
    expect(completions(text, known)).toEqual(expected);
  });
});
