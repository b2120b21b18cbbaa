// The script of a tag: <script defer src="https://t.example/t.js"></script>
import { run, type Source, type Tally } from "./page";

declare global {
  interface Window {
    tally?: Tally & { q?: Parameters<Tally>[] };
  }
}

// A second tag on the same page counts nothing: the function that stands in for this one takes no parameters.
if (!self.tally?.length) self.tally = run(document.currentScript as HTMLScriptElement & Source, self.tally?.q);
