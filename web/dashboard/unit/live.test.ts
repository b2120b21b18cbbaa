import { describe, expect, it } from "vitest";
import { type Bucket, Buckets, newer, Parser, type Sent } from "../src/live/frames";

const STREAM =
  ': keep\n\nevent: counts\nid: 1\ndata: {"a":\ndata: 1}\n\r\nevent:end\r\ndata: {"reason":"lifetime"}\r\n\r\ndata: alone\r\rid: 7\n\ndata: лист\n\n';
const FRAMES = [
  { event: "counts", id: "1", data: '{"a":\n1}' },
  { event: "end", id: "1", data: '{"reason":"lifetime"}' },
  { event: "message", id: "1", data: "alone" },
  { event: "message", id: "7", data: "лист" },
];

describe("the parser", () => {
  it("reads the same wherever the stream is cut", () => {
    for (let first = 0; first <= STREAM.length; first++) {
      for (const second of [first, Math.min(STREAM.length, first + 1), STREAM.length]) {
        const parser = new Parser();
        const parts = [STREAM.slice(0, first), STREAM.slice(first, second), STREAM.slice(second)];
        expect(
          parts.flatMap((part) => parser.feed(part)),
          `${first} ${second}`,
        ).toEqual(FRAMES);
      }
    }
  });
});

describe("buckets", () => {
  const at = (minute: number) => `2026-03-01T12:0${minute}:00Z`;
  const open = (count: number): Bucket => ({ timestamp: at(2), count, final: false });
  const final = (count: number): Bucket => ({ timestamp: at(2), count, final: true });

  it("never fall while they are open, and are what was last sent when final", () => {
    expect(newer(open(5), open(4)).count).toBe(5);
    expect(newer(open(4), open(5)).count).toBe(5);
    expect(newer(open(9), final(8))).toEqual(final(8));
    expect(newer(final(8), open(7))).toEqual(final(8));
    expect(newer(final(8), final(9)).count).toBe(9);
  });

  it("are the same in whatever order frames come", () => {
    const frames: Sent[] = [
      [42, [[at(1), 3, false]]],
      [
        42,
        [
          [at(1), 5, false],
          [at(2), 1, false],
        ],
      ],
      [42, [[at(1), 6, true]]],
      [42, [[at(2), 4, false]]],
    ];
    const history = [
      { timestamp: at(0), count: 7, final: true },
      { timestamp: at(1), count: 4, final: false },
    ];
    const expected = [
      { timestamp: at(0), count: 7, final: true },
      { timestamp: at(1), count: 6, final: true },
      { timestamp: at(2), count: 4, final: false },
    ];
    for (const order of permutations([0, 1, 2, 3])) {
      const buckets = new Buckets();
      for (const place of order) buckets.take([frames[place]!]);
      expect(buckets.merged(42, history), order.join()).toEqual(expected);
    }
  });

  it("take a history that is newer than a final frame", () => {
    const buckets = new Buckets();
    buckets.take([[42, [[at(1), 6, true]]]]);
    expect(buckets.merged(42, [{ timestamp: at(1), count: 9, final: true }])).toEqual([
      { timestamp: at(1), count: 9, final: true },
    ]);
    expect(buckets.merged(43, [open(2)])).toEqual([open(2)]);
  });

  it("forget what is final and old, and nothing that is open", () => {
    const buckets = new Buckets();
    buckets.take([
      [
        42,
        [
          [at(1), 6, true],
          [at(2), 4, false],
        ],
      ],
    ]);
    buckets.trim(at(5));
    expect(buckets.merged(42, [])).toEqual([open(4)]);
    expect(buckets.latest(42)).toEqual(open(4));
  });
});

function permutations(items: number[]): number[][] {
  if (items.length < 2) return [items];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));
}
