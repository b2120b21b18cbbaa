/** Commands for a shell, with everything that somebody else wrote in quotes. */

export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The same question for a shell. The key is a variable, never a key. */
export function curl(address: string, needsKey: boolean, accept?: string): string {
  const parts = ["curl", "-sS", quoted(address)];
  if (needsKey) parts.push("-H", '"Authorization: Bearer $KEY"');
  if (accept) parts.push("-H", quoted(`Accept: ${accept}`));
  return parts.join(" ");
}
