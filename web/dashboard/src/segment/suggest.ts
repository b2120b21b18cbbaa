/** What may follow the text of a segment: fields, or values of the field at its end. The service has written both. */

export interface Suggested {
  readonly field: string;
  readonly values: readonly string[];
}

const MOST = 30;
/** The last comparison that is not finished: a field, and a value behind an operator. */
const LAST = /((?:[^\s()"'\\:=<>!]|"(?:[^"\\]|\\.)*")*)(?:(<=|>=|!=|[:=<>])("?[^"\s()]*))?$/;

/** Whole texts that begin with this one, each with one suggestion at its end. */
export function completions(text: string, known: readonly Suggested[]): string[] {
  const [whole = "", field = "", operator, begun = ""] = LAST.exec(text) ?? [];
  const before = text.slice(0, text.length - whole.length);
  if (before.endsWith('"')) return []; // within a text
  const fits = (one: string, part: string) => one.toLowerCase().includes(part.toLowerCase()) && one !== part;
  const found =
    operator === undefined
      ? known.filter((one) => fits(one.field, field)).map((one) => `${one.field}:`)
      : (known.find((one) => one.field === field)?.values ?? [])
          .filter((one) => fits(one, begun))
          .map((one) => field + operator + one);
  return found.slice(0, MOST).map((one) => before + one);
}
