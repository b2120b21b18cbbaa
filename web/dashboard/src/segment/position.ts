/** The service counts characters as code points; JavaScript counts UTF-16 units. */

/** The index into a text of JavaScript of the nth code point. */
export function unitsOf(text: string, points: number): number {
  let units = 0;
  for (const one of text) {
    if (points-- <= 0) break;
    units += one.length;
  }
  return units;
}

/** The text in three parts: before the faulty character, the character, and what follows. */
export function parted(text: string, points: number): [string, string, string] {
  const at = unitsOf(text, points);
  const faulty = text.slice(at)[Symbol.iterator]().next().value ?? "";
  return [text.slice(0, at), faulty, text.slice(at + faulty.length)];
}
