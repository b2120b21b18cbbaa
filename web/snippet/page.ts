// What a page reports, and how it is sent (docs/collect.md). `t.ts` starts it from a tag, `start.ts` from a program.
// Every byte counts: the built script has at most 2,048. Names of variables cost nothing there, names of properties do.

type Fields = Record<string, string | number | undefined>;
type Item = Fields & { t: number };
/** Reports an event. Throws where `properties` cannot be JSON. */
export type Tally = (name: string, properties?: object) => unknown;
/** Where the script is, and the site where the origin does not name it. An element of a script is one. */
export type Source = { src: string; dataset: { site?: string } };

/** Report this page, until it is gone, to `c` beside `src`. `early` are calls from before the first view. */
export const run = ({ src, dataset: { site } }: Source, early: Parameters<Tally>[] = []): Tally => {
  const yes = 1 as unknown as true;
  const attribute = "data-tally-banner";
  const doc = document;
  const here = location;
  const now = Date.now;
  const to = new URL("c?w=" + +navigator.webdriver + (site ? "&s=" + site : ""), src);
  const isFrame = top != self;
  /** Items that are not on their way, oldest first. `t` is when one was made; what is sent is its age. */
  let queue: Item[] = [];
  /** Requests on their way, the timer of the next, and the milliseconds from a failure to that. */
  let sending = 0;
  let timer: number | undefined;
  let wait = 0;
  /** The view: its name, the number of its next item, its path, and what was reported of its banners. */
  let view: string | undefined;
  let n: number;
  let path: unknown;
  let reported: Record<string, unknown>;
  /** Where this page, or its next view, was come from. */
  let referrer = doc.referrer;
  /** When the time of the next `leave` began. `spent` is what had run of it when the page was hidden. */
  let since = now();
  let spent = 0;
  /** What is half visible, and since which entry of the observer. */
  let halves: Map<Element, unknown>;

  /** Send the oldest items. One request at a time, but for `isLast`: the page gets hidden, and all has to go. */
  const send = async (isLast?: number) => {
    if ((queue = queue.filter((item) => now() - item.t < 3e5))[0] && (isLast || !sending)) {
      const batch = queue.splice(0, 20);
      const body = JSON.stringify(batch, (key, value) => (key == "t" ? Math.abs(now() - value) : value));
      let isDone;
      sending++;
      if (isLast) send(1);
      try {
        isDone = (await fetch(to, { method: "POST", body, keepalive: yes, credentials: "omit" })).status < 429;
      } catch {
        // Nobody learns what becomes of this, so the items are kept, too. They have names: they count once.
        if (isLast) navigator.sendBeacon?.(to, body);
      }
      sending--;
      if (!isDone) queue = batch.concat(queue);
      later((wait = isDone ? 0 : (wait * 2) % 62e3 || 2e3));
    }
  };

  /** Send after this time, and not after the time that was meant before. */
  const later = (ms: number) => (timer = setTimeout(send, ms, clearTimeout(timer)));

  const add = (k: string, fields: Fields, isUrgent?: unknown) =>
    queue.push({ k, v: view, n: n++, t: now(), ...fields }) > 19 || isUrgent ? send() : later(500);

  /** An address without its fragment, as far as it is taken. */
  const cut = (url: string) => /[^#]{0,1024}/.exec(url)![0];

  // Properties that are too long are refused alone, and keep no other item back.
  const tally: Tally = (e, p) =>
    view ? add("event", { e, p: JSON.stringify(p)?.slice(0, 2049), u: cut(here.href) }) : early.push([e, p]);

  const leave = () => (spent = now() - since) > 999 && (isFrame || add("leave", { ms: spent }), (spent = 0));

  /** Begin a view, if this page is visible and was not seen under its path before. */
  const check = () =>
    !doc.hidden &&
    path != (path = here.pathname) &&
    (leave(),
    // Each on its own: one that throws keeps no other back.
    view || early.map((call) => setTimeout(tally, 0, ...call)),
    (since = now()),
    // The address of a blob ends in a random UUID, also where `crypto.randomUUID` is missing: on plain http.
    (view = URL.createObjectURL(new Blob()).slice(-36)),
    (n = 0),
    (reported = {}),
    isFrame || add("view", { r: cut(referrer), u: cut((referrer = here.href)) }),
    look());

  /** Let each banner report its state. Their seconds begin anew, if they are not `kept`. */
  const look = (areKept?: unknown) => {
    if (!areKept) halves = new Map();
    states.disconnect();
    for (const element of doc.querySelectorAll(`[${attribute}]`)) {
      states.observe(element);
      sizes.observe(element);
    }
  };

  const states = new IntersectionObserver(
    (entries) =>
      entries.map((entry) => {
        const { target, boundingClientRect, intersectionRatio } = entry;
        const b = target.getAttribute(attribute)!;
        const report = (k: string) => (reported[k + b] ||= add(k, { b }));
        const isThere = !doc.hidden && boundingClientRect.height;
        if (isThere) report("served");
        if (isThere && intersectionRatio >= 0.5) {
          if (!halves.has(target)) {
            halves.set(target, entry);
            setTimeout(() => halves.get(target) == entry && report("viewable"), 1e3);
          }
        } else halves.delete(target);
      }),
    { threshold: 0.5 },
  );

  /** What is empty in the viewport and grows crosses no threshold. */
  const sizes = new ResizeObserver(look);

  const click = (event: MouseEvent) => {
    if (event.isTrusted && event.button < 2) {
      const elements = event.composedPath() as HTMLAnchorElement[];
      const host = here.hostname;
      const link = elements.find((element) => (element.hostname || host) != host);
      let b: string | undefined;
      if (elements.find((element) => (b = element.dataset?.tallyBanner))) add("click", { b }, 1);
      else if (link) add("out", { u: cut(link.href) }, 1);
    }
  };

  ["push", "replace"].map((verb) => {
    const original = history[(verb += "State") as "pushState"];
    history[verb as "pushState"] = (...given) => {
      original.apply(history, given);
      check();
    };
  });

  const heard: Record<string, (event: never) => unknown> = {
    popstate: check,
    pageshow(event: PageTransitionEvent) {
      if (event.persisted) {
        path = since = now();
        check();
      }
    },
    visibilitychange() {
      if (doc.hidden) {
        leave();
        send(1);
      }
      since = now() - spent;
      check();
      look();
    },
    click,
    auxclick: click,
  };
  for (const name in heard) addEventListener(name, heard[name] as EventListener, yes);

  new MutationObserver((records) => look(!records.some((record) => record.attributeName))).observe(doc, {
    childList: yes,
    subtree: yes,
    attributeFilter: [attribute],
  });
  check();
  return tally;
};
