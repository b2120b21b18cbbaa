// Where the service is and which key opens it: options first, then the environment.

import { NotConfigured } from "./errors.js";
import { messageOf } from "./http.js";
import { environ, readFile } from "./runtime.js";

/** One number with the service and `package.json`; a test compares them. */
export const VERSION = "0.1.0";

/** The address of the service, without a slash at its end. */
export type Address = { url: string; isLoopback: boolean; isOff: boolean };

/** Return the address of the service. Throws NotConfigured. */
export const addressOf = (given: string | undefined): Address => {
  const url = (given || environ("TALLYBOOK_URL")).trim().replace(/\/+$/, "");
  if (url === "off") return { url, isLoopback: true, isOff: true };
  if (!url) throw new NotConfigured("no URL of the service: give `url`, or set TALLYBOOK_URL; `off` drops everything");
  let parts: URL;
  try {
    parts = new URL(url);
  } catch {
    throw new NotConfigured("the URL of the service has the form https://host[:port][/path]");
  }
  if (!/^https?:$/.test(parts.protocol) || parts.search || parts.hash)
    throw new NotConfigured("the URL of the service has the form https://host[:port][/path]");
  if (parts.username || parts.password)
    throw new NotConfigured("the URL of the service holds no login: a key goes into TALLYBOOK_API_KEY");
  const isLoopback = /^(localhost|\[::1\]|127\.[\d.]+)$/.test(parts.hostname);
  return { url, isLoopback, isOff: false };
};

/** An API key, given or read from a file that may be rotated. */
export class Key {
  #value: string;
  #file: string;

  constructor(
    given: string | undefined,
    address: Address,
    private log: (level: "warn" | "error", line: string) => unknown,
  ) {
    this.#value = given || environ("TALLYBOOK_API_KEY");
    this.#file = this.#value ? "" : environ("TALLYBOOK_API_KEY_FILE");
    this.renew();
    if (this.#value && !address.isLoopback && address.url.startsWith("http:"))
      log("warn", "tallybook: the API key travels over plain http to another host");
  }

  /** Read the file again. A file that cannot be read leaves the key as it was. */
  renew(): void {
    if (!this.#file) return;
    try {
      this.#value = readFile(this.#file).trim();
    } catch (error) {
      this.log("error", `tallybook: TALLYBOOK_API_KEY_FILE cannot be read: ${messageOf(error)}`);
    }
  }

  /** Return the header that shows the key, or nothing without one. */
  header(): Record<string, string> {
    return this.#value ? { authorization: `Bearer ${this.#value}` } : {};
  }
}
