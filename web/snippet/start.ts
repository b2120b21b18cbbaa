// The same for programs that are bundled.
import { run, type Tally } from "./page.js";

/** Report this page to the service at `url`, as https://t.example/ or https://shop.example/x7/. */
export const start = ({ url, site }: { url: string; site?: string }): Tally => run({ src: url, dataset: { site } });
