// What Node has beyond the web platform. Nothing is imported, so that the client also runs where there is no Node.

interface Node {
  env?: Record<string, string | undefined>;
  on?(name: "beforeExit", listener: () => void): void;
  /** Without types: those of Node are a package. */
  getBuiltinModule?(name: string): any;
}

const node = (globalThis as { process?: Node }).process;

/** Return a variable of the environment, or nothing where there is none. */
export const environ = (name: string): string => node?.env?.[name] ?? "";

/** Return the text of a file. Throws where there are no files. */
export const readFile = (path: string): string => {
  if (!node?.getBuiltinModule) throw new Error("this runtime reads no files");
  return node.getBuiltinModule("node:fs").readFileSync(path, "utf8");
};

/** Return a function that runs work in the context of now, so that no trace of a request follows it. */
export const outside = (): ((work: () => void) => void) =>
  node?.getBuiltinModule?.("node:async_hooks")?.AsyncLocalStorage.snapshot() ?? ((work: () => void) => work());

/** Return seconds as a timer takes them. */
export const milliseconds = (seconds: number): number => Math.min(Math.max(seconds * 1000, 0), 2 ** 31 - 1);

/** Call back after some seconds. The timer does not keep the process alive. */
export const later = (work: () => void, seconds: number): ReturnType<typeof setTimeout> => {
  const timer = setTimeout(work, milliseconds(seconds));
  (timer as { unref?(): void }).unref?.();
  return timer;
};

const closing = new Set<() => Promise<unknown>>();
let isListening = false;

/** Close this when the process has nothing more to do. `process.exit()` and signals skip it. */
export const closeAtExit = (close: () => Promise<unknown>): void => {
  closing.add(close);
  if (isListening) return;
  isListening = true;
  node?.on?.("beforeExit", () => {
    for (const one of closing) void one();
  });
};

/** Forget what was closed. */
export const closed = (close: () => Promise<unknown>): void => void closing.delete(close);
