/** Rows of a segment and its text. The service alone says what a segment means; deeper ones are shown as text only. */

export interface Rule {
  readonly field: string;
  readonly operator: string;
  readonly value: string;
}

export interface Flat {
  readonly joint: "and" | "or";
  readonly rules: readonly Rule[];
}

export const OPERATORS = [":", "!=", "<", "<=", ">", ">="] as const;
const NEEDS_QUOTES = /[\s"():=<>!\\]/;
const WORDS = new Set(["and", "or", "not"]);

/** A value as the language writes it: in quotes where it would be read as something else. */
export function value(text: string): string {
  return text === "" || NEEDS_QUOTES.test(text) || WORDS.has(text.toLowerCase()) ? JSON.stringify(text) : text;
}

/** `properties.unit price` has quotes around the key that has a blank in it. */
export function field(text: string): string {
  return text
    .split(".")
    .map((key, index) => (index > 0 && (NEEDS_QUOTES.test(key) || key === "") ? JSON.stringify(key) : key))
    .join(".");
}

export function written(flat: Flat): string {
  return flat.rules.map((rule) => `${field(rule.field)}${rule.operator}${value(rule.value)}`).join(` ${flat.joint} `);
}

const TOKEN = /\s*("(?:[^"\\]|\\.)*"|[^\s"():=<>!\\]+|<=|>=|!=|[:=<>()])/y;

function tokens(text: string): string[] | undefined {
  const found: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    if (/^\s*$/.test(text.slice(TOKEN.lastIndex))) return found;
    const match = TOKEN.exec(text);
    if (!match) return undefined;
    found.push(match[1]!);
  }
  return found;
}

/** The rows of a flat segment; nothing for one that is deeper, or that these rows would not write in the same way. */
export function flat(text: string): Flat | undefined {
  const all = tokens(text);
  if (!all?.length) return all && { joint: "and", rules: [] };
  const rules: Rule[] = [];
  let joint: Flat["joint"] | undefined;
  for (let at = 0; at < all.length; ) {
    let name = all[at++]!;
    // A path may have quoted keys: properties."unit price"
    while (name.endsWith(".") && all[at]?.startsWith('"')) name += all[at++]!;
    const operator = all[at++];
    const given = all[at++];
    if (name.startsWith('"') || WORDS.has(name.toLowerCase()) || given === undefined) return undefined;
    if (!operator || !(operator === "=" || (OPERATORS as readonly string[]).includes(operator))) return undefined;
    if (/^[():=<>!]/.test(given)) return undefined;
    const plain = unquoted(given);
    // In quotes a value is a text only; without them `10` is a number, too. A row cannot say which.
    if (plain === undefined || (given.startsWith('"') && value(plain) !== given)) return undefined;
    const key = name.includes('"') ? unquotedPath(name) : name;
    if (key === undefined || field(key) !== name) return undefined;
    rules.push({ field: key, operator: operator === "=" ? ":" : operator, value: plain });
    if (at >= all.length) break;
    const next = all[at++]!.toLowerCase();
    if ((next !== "and" && next !== "or") || (joint && joint !== next) || at >= all.length) return undefined;
    joint = next;
  }
  return { joint: joint ?? "and", rules };
}

function unquoted(text: string): string | undefined {
  if (!text.startsWith('"')) return text;
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

function unquotedPath(name: string): string | undefined {
  const parts = name.match(/"(?:[^"\\]|\\.)*"|[^."]+/g)?.map(unquoted);
  return parts?.every((part) => part !== undefined && !part.includes(".")) ? parts.join(".") : undefined;
}
