// Run scripts of tests in one browser: each line of stdin is a request, each line of stdout its answer.
//
// argv: the folder whose node_modules hold playwright-core, and the launch options as JSON.
// request: {script, args, context, timeoutMs}      answer: {result} or {error}
//
// A script is the body of an async function. It sees
//   page, context, browser   of playwright; context and page are its own
//   args                     what the test gave
//   errors                   uncaught errors of its pages so far; what is left in it at the end fails the script
//   until(ask)               waits until ask() is truthy, and returns that
//   cdp(page)                a session of the DevTools protocol
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const AsyncFunction = (async () => {}).constructor;
const [folder, options] = process.argv.slice(2);
const { chromium } = createRequire(`${folder}/`)("playwright-core");
const browser = await chromium.launch(JSON.parse(options));

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const until = async (ask) => {
  for (;;) {
    const found = await ask();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

const run = async ({ script, args, context: settings, timeoutMs }) => {
  const context = await browser.newContext(settings);
  context.setDefaultTimeout(timeoutMs);
  const errors = [];
  context.on("weberror", (error) => errors.push(String(error.error().stack ?? error.error())));
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the script took more than ${timeoutMs} ms`)), timeoutMs);
  });
  const work = async () => {
    const page = await context.newPage();
    const tools = { page, context, browser, args, errors, until, cdp: (one) => context.newCDPSession(one) };
    return await new AsyncFunction(...Object.keys(tools), script)(...Object.values(tools));
  };
  const done = work();
  for (const one of [done, late]) one.catch(() => {}); // the one that loses may fail later
  try {
    const result = await Promise.race([done, late]);
    if (errors.length) throw new Error(`uncaught in a page: ${errors.join("\n")}`);
    return { result: result ?? null };
  } catch (error) {
    return { error: String(error.stack ?? error) };
  } finally {
    clearTimeout(timer);
    await context.close().catch(() => {});
  }
};

answer({ result: browser.version() });
for await (const line of createInterface({ input: process.stdin })) answer(await run(JSON.parse(line)));
await browser.close();
