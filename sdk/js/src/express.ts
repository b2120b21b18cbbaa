// Page views of Express, or of any other server of Node with (request, response, next).
//
//     app.use(pageViews(tally, { user: (request) => request.session.userId }))
//
// An event of the type `page_view` says the route's template, the status, the milliseconds and the host of the
// referrer: no address, no user agent, no query. Without a user, and with `Sec-GPC: 1`, nothing is recorded.

import type { Tallybook } from "./client.js";

interface Request {
  headers: Record<string, string | string[] | undefined>;
  baseUrl?: string;
  route?: { path?: unknown };
}

interface Response {
  statusCode: number;
  headersSent: boolean;
  once(name: "close", listener: () => void): unknown;
}

/** Record each request of a user after its answer. */
export const pageViews =
  <Of extends Request>(
    tally: Pick<Tallybook, "event">,
    { user }: { user: (request: Of) => string | number | null | undefined },
  ) =>
  (request: Of, response: Response, next: () => void): void => {
    const began = performance.now();
    response.once("close", () => {
      let userId: string | number | null | undefined;
      try {
        userId = user(request);
      } catch (error) {
        // Nobody could catch this, and the request is over.
        console.error("tallybook: `user` of pageViews failed:", error);
      }
      if (userId === undefined || userId === null || userId === "" || request.headers["sec-gpc"] === "1") return;
      const { route, baseUrl = "", headers } = request;
      const properties = {
        status: response.headersSent ? response.statusCode : 500,
        ms: Math.round(performance.now() - began),
        route: route?.path === undefined ? undefined : baseUrl + String(route.path),
        referrer: hostOf(headers.referer),
      };
      tally.event("page_view", { userId, properties });
    });
    next();
  };

const hostOf = (referrer: unknown): string | undefined => {
  try {
    return new URL(String(referrer)).hostname || undefined;
  } catch {
    return undefined;
  }
};
