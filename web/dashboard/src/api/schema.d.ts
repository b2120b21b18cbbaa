// Made by `npm run types` from docs/openapi.json. Do not edit.

export interface paths {
    "/stats/{bannerId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Clicks of one banner over a range
         * @description Exact at any moment: persisted clicks and those on their way, without a gap and without a double. `final: false` marks a bucket that may still grow. A banner without clicks is an empty answer with total 0.
         *
         *     The range may also be sent as a JSON body, `{"tsFrom": ..., "tsTo": ...}`, instead of in the query. A bucket that `tsFrom` or `tsTo` cuts keeps its label and counts the minutes inside the range only.
         */
        get: operations["bannerStatistics"];
        put?: never;
        /**
         * Count one click
         * @description Counted in the minute in which it is accepted, exactly once. A body is ignored. With an `Idempotency-Key`, the same key on the same banner counts once within 600 seconds; repeat such a request after any error. Without one, repeat it only after an error that says so.
         */
        post: operations["countClick"];
        delete?: never;
        /**
         * May a page of this origin read the answer?
         * @description A preflight (CORS): asked by browsers, for the origins of the settings. Counts nothing.
         */
        options: operations["clickPreflight"];
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Ask whether a key may upload
         * @description Answers as an upload would as far as its headers go. A proxy asks it before it reads a body.
         */
        get: operations["mayUpload"];
        put?: never;
        /**
         * Take product events
         * @description Up to 10000 events in 5242880 bytes: a JSON array, or NDJSON (`application/x-ndjson`), either of them plain or with `Content-Encoding: gzip`. `text/plain` and no type at all are read as an array. Each event has its own result; blank lines of NDJSON have none. The same `event_id` is stored and counted once, for ever; the first one counts. What comes again within 3600 seconds at least is reported as `duplicate`, or `conflict` if it says other things. Send the same upload again after any error. With an `Idempotency-Key` the first answer is given again for 24 hours, or less when very many uploads have one.
         */
        post: operations["takeEvents"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Clicks of several banners, or hits of a tracker, over a range
         * @description As for one banner, for up to 100 at once and 150,000 buckets in all.
         *
         *     With `tracker_id`, `from` and `to`: the exact number of hits of a tracker that are in ClickHouse, of their users, without those who opted out, and of machines' hits; with `step` also by bucket. A tracker without hits has count 0. NDJSON and Parquet are for hits alone.
         */
        get: operations["statistics"];
        put?: never;
        /**
         * Count many clicks
         * @description For servers and SDKs: up to 10000 items in 1048576 bytes. All valid items are counted, and the answer names the others. An item's `id` makes it count once within 600 seconds. After a 503 send the same request again: items with ids count once, and no item without one had been counted, unless clicks are acknowledged by Redis.
         */
        post: operations["countClicks"];
        delete?: never;
        /**
         * May a page of this origin read the answer?
         * @description A preflight (CORS): asked by browsers, for the origins of the settings. Counts nothing.
         */
        options: operations["clicksPreflight"];
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/total": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Clicks of all banners together
         * @description As for one banner. Every minute of every banner is read, so the longest ranges are 2 days with step=minute, 31 days with step=hour, 366 days with step=day. `banners` counts those with clicks.
         */
        get: operations["totalClicks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/top": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The banners that lead a range
         * @description Best first; of equal ones the lower id is first. The longest range is 366 days.
         *
         *     With `metric=ctr` the lower end of the interval decides, so a rate of few impressions is not ahead of the same rate of many. Banners with fewer viewable impressions than `min`, or with more clicks than viewable impressions, are left out and counted in `leftOut`.
         */
        get: operations["topBanners"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/trackers/top": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The trackers with the most hits
         * @description Best first; of equal ones the first by id. `users` leaves out those who opted out. The longest range is 366 days.
         */
        get: operations["topTrackers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/pages": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Page views of a range, by minute, hour or day
         * @description Views, different users, mean duration and share of bounces: in all, by bucket, and of the most viewed pages. `from` is lowered and `to` raised to whole buckets. Views are there within seconds; those that come late are added to the minute in which they happened. While views come in, parts of one answer may differ by the newest.
         *
         *     Minutes are kept for 7 days, hours for good, by hours of UTC: with `step=hour` and `day` a zone has to begin its hours with them.
         */
        get: operations["pageStatistics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Clicks as they come
         * @description Server-sent events. Read them with `fetch`: `EventSource` hides the status and `Retry-After`.
         *
         *     | event | data |
         *     |---|---|
         *     | `counts` | `{"asOf": ..., "banners": [[42, [["2026-03-01T12:32:00Z", 17, false]]]]}`: of each banner the minutes that changed, newest first, with their whole count and whether it is final. `id` is `asOf` in milliseconds |
         *     | `ranking` | with `top`: `{"asOf": ..., "tsFrom": ..., "tsTo": ..., "banners": [[42, 9120]]}`, every 5 s |
         *     | `trouble` | `{"code": "redis_unavailable", "retryAfter": 1}`: nothing new can be read; the stream goes on |
         *     | `end` | `{"reason": "lifetime" \| "bytes" \| "stopping"}`: ask again at once |
         *     | comment | `: keep`, after 15 s without a frame |
         *
         *     A stream begins with all minutes that are open. A minute that becomes final is sent once more. A frame that is not read
         *     is replaced by what is newest, and counts of open minutes never fall. Load the history with `GET /stats` when the stream
         *     is open, and again each minute, because a bulk item may open an old one.
         *
         *     A stream ends after 25.0 s or 256 KiB, and without a last event when nothing of
         *     it was read for 10.0 s. A worker has 32 streams, 4 of one key
         *     or address, and 400 banners of all of them; more is 503 `busy`.
         */
        get: operations["liveClicks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/track": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Count a hit
         * @description The hit is in the record log when this is answered, or in its journal on the disk while the log is away. Parameters other than `id` are kept as a part of the address. HEAD, prefetches and previews are answered, but not counted. `Sec-GPC: 1` is counted without cookie, user id and full address.
         */
        get: operations["track"];
        put?: never;
        /**
         * Count a hit of a beacon
         * @description The hit is in the record log when this is answered, or in its journal on the disk while the log is away. Parameters other than `id` are kept as a part of the address. HEAD, prefetches and previews are answered, but not counted. `Sec-GPC: 1` is counted without cookie, user id and full address.
         */
        post: operations["trackBeacon"];
        delete?: never;
        /**
         * May a page of this origin read the answer?
         * @description A preflight (CORS): asked by browsers, for the origins of the settings. Counts nothing.
         */
        options: operations["trackPreflight"];
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/track.gif": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Count a hit of an image
         * @description The hit is in the record log when this is answered, or in its journal on the disk while the log is away. Parameters other than `id` are kept as a part of the address. HEAD, prefetches and previews are answered, but not counted. `Sec-GPC: 1` is counted without cookie, user id and full address.
         */
        get: operations["trackPixel"];
        put?: never;
        post?: never;
        delete?: never;
        /**
         * May a page of this origin read the answer?
         * @description A preflight (CORS): asked by browsers, for the origins of the settings. Counts nothing.
         */
        options: operations["trackPixelPreflight"];
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/r/{slug}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow a redirect link
         * @description Counts a click of the link's banner and leads to its destination. The destination comes from the table of links; a request can only add to its query what the link lets pass. Machines are led on and counted as such. HEAD has the same headers and never counts. A prefetch is 503 without a body, so that the click itself comes here.
         */
        get: operations["followLink"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/c": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Report what happens in a page
         * @description For the snippet: 1 to 50 items in 65,536 bytes, of pages whose `Origin` belongs to a site. An item is named by its view and its number and says its age, of at most 300 seconds. The same name counts once, so the same request may be sent again after any error. Impressions count once for each view and banner. No count of a browser proves anything.
         */
        post: operations["collect"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/dau": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Unique users by day
         * @description Every day of the range, those without users included, and `users` of the whole range. Exact, unless `approx=true` is asked for: then `error` is the relative error that 99.7 % of the days stay below, 0.009.
         */
        get: operations["dailyUsers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Events and their users over a range
         * @description By minute, hour or day, and in all. Users of a bucket or of the range are different users: they cannot be added. The longest ranges are 2 days with step=minute, 62 days with step=hour, 1,098 days with step=day.
         */
        get: operations["eventSeries"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/top-events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The most frequent types of events
         * @description Best first; of equal ones the first by name. With a range to compare with, `before` says how often each occurred in it.
         */
        get: operations["topEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/events/fields": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What a segment may name, from a sample
         * @description Of the last 2,000 events of 30 days, by day and id: their fields, and values that several users have. `sampled` says of how many: what is rare may be missing. Events with more than 4,096 bytes of properties are left out.
         */
        get: operations["eventFields"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/retention": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Who came back
         * @description A user belongs to the window of the first event ever, of `event_type` if that is given; whoever came before `start_date` belongs to none. `users` says how many of a cohort were active in their own window, in the next, and so on; a window that is not over counts what it has.
         */
        get: operations["retention"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Event logs of a range, page by page
         * @description Events that applications have published through the outbox, the newest first unless `order=asc`. While there are more, `next` and the header `Link` lead to the next page. New events shift no page. A page ends early when its contexts have more than 8 MiB.
         */
        get: operations["eventLogs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/stats/web": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Views, visitors and visits of a site
         * @description Of days of the site's zone, both in the range. A visit is a chain of items of one visitor with gaps of at most half an hour that holds a view. `visitors` is answered for a single day alone: nobody is recognised on another day, so of longer ranges there are `visitorDays`, the sum over days. Whoever names `visitors` in `metrics` for a longer range is told so, as 422.
         */
        get: operations["webStatistics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/banners": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The registered banners and their names
         * @description In the order of their ids. A banner that was never registered is not in the list, though it may have clicks where `TALLYBOOK_BANNERS` is `open`. While there are more, `next` leads to the next page. A new banner shifts no page.
         */
        get: operations["banners"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/trackers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The trackers and their values
         * @description In the order of their ids. While there are more, `next` leads to the next page.
         */
        get: operations["trackers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/links": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The redirect links and their destinations
         * @description In the order of their slugs. While there are more, `next` leads to the next page. The clicks of a link are those of its banner, which other links and pages may share.
         */
        get: operations["links"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/sites": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The sites whose pages may report
         * @description In the order of their names. While there are more, `next` leads to the next page.
         */
        get: operations["sites"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Who is signed in?
         * @description What the cookie of a session says. `open`: no key is needed here. `out`: there is no session, or it is over.
         */
        get: operations["session"];
        put?: never;
        /**
         * Sign in to the dashboard
         * @description Begin a session of the key or token in the Authorization header. Its cookie holds a random token instead of the key. It opens what `stats:read`, `logs:read` and `admin` open, to GET and HEAD of pages of this origin, and nothing else. It lasts 12 hours, or 30 days with `remember`, and ends with its key. A key has 100 sessions; the oldest makes room for one more.
         */
        post: operations["signIn"];
        /**
         * Sign out
         * @description End the session of the cookie. Without one, nothing happens.
         */
        delete: operations["signOut"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/t.js": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The script that pages load
         * @description The newest version, at most 2,048 bytes. `/t.<hash>.js` is one version for ever, for `integrity`.
         */
        get: operations["snippet"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Does the process answer?
         * @description Does the process answer?
         */
        get: operations["live"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Can it do its work?
         * @description Clicks are accepted while this is 200, also when `status` is `degraded`: Redis may be away.
         */
        get: operations["ready"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/accounting": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Where is every accepted click, and every record?
         * @description Of clicks `accepted = persisted + open + inLanes` at every moment. Of the rows of each table (events, hits, page views) `accepted = stored + duplicate + deadLettered + skipped + inFlight + inJournals`. A `difference` other than 0 that stays means that a store lost data, or was put back to an older copy; of tables it counts records of the log, which of events are blocks of up to 1,000. While more events wait than can be counted in five seconds, their `inFlight` and `accepted` are null.
         */
        get: operations["accounting"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/limits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What may a client send?
         * @description Bounds of clicks and events, and the time of the service, by which a client with a wrong clock can correct its own. Needs no key. With one, `scopes` says what it is good for.
         */
        get: operations["limits"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/freshness": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How far behind are the tables?
         * @description Until when each table of ClickHouse is complete, what waits, and whether it moves. What came in before `freshUntil`, by the clock of the record log, is in the table. A bucket that ends later may still grow. An answer is reused for a second.
         */
        get: operations["freshness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/dead-letters": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Records that can be no row
         * @description How many wait, by table and reason, and where they were, the oldest first. Nothing of the records is shown: `tallybook dlq` shows, replays and drops them on the host.
         */
        get: operations["deadLetters"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This interface, for machines
         * @description The OpenAPI 3.1 document of this interface, made from the types that validate.
         */
        get: operations["openapi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The dashboard, for people
         * @description A page that reads this interface. Its views are below `/ui/`.
         */
        get: operations["dashboard"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/docs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * This interface, for people
         * @description This interface, for people
         */
        get: operations["docs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * Problem
         * @description What every error looks like (RFC 9457). Decide by `code`; `detail` is for people.
         */
        Problem: {
            /**
             * @description Where the code is explained
             * @example ../docs/errors#malformed
             */
            type: string;
            /** @description What this kind of error means, and what to do */
            title: string;
            /** @description The status of the answer */
            status: number;
            /** @description What was wrong in this case */
            detail: string;
            /** @description The stable name of the error */
            code: string;
            /**
             * @description Each fault: `detail`, with `pointer` into the body (RFC 6901) or `parameter`
             * @default []
             */
            errors: Record<string, never>[];
            /**
             * @description Name it when you report the problem
             * @default
             */
            requestId: string;
        };
        /**
         * Counted
         * @description What became of the items. Each is one of `accepted`, `duplicate` and `rejected`; the last two are named.
         */
        Counted: {
            /** @description Items in the request */
            items: number;
            /**
             * @description Items that were counted now
             * @default 0
             */
            accepted: number;
            /**
             * @description Items whose id was counted before, or stands here twice
             * @default 0
             */
            duplicate: number;
            /**
             * @description Items that were not counted
             * @default 0
             */
            rejected: number;
            /**
             * @description Clicks that the accepted items stand for
             * @default 0
             */
            clicks: number;
            /**
             * @description Impressions, served and viewable, that they stand for
             * @default 0
             */
            impressions: number;
            /**
             * @description Places of the duplicate items
             * @default []
             */
            duplicates: number[];
            /**
             * @description Why items were rejected: the first 1,000 of them
             * @default []
             */
            errors: components["schemas"]["Fault"][];
        };
        /**
         * Fault
         * @description Why one item was not counted.
         */
        Fault: {
            /** @description Place of the item in the array, from 0 */
            index: number;
            /** @description JSON pointer to what is wrong */
            pointer: string;
            /**
             * @description The stable name of the fault
             * @example invalid
             * @example too_old
             */
            code: string;
            /** @description What is wrong, for people */
            detail: string;
        };
        /**
         * Click
         * @description Clicks, or impressions, of one banner.
         */
        "ingest.clicks.bulk.Click": {
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            /**
             * @description What is counted: clicks, impressions served, or impressions that were viewable
             * @default click
             * @enum {unknown}
             */
            kind: "click" | "served" | "viewable";
            /**
             * @description Clicks or impressions that the item stands for
             * @default 1
             */
            count: number;
            /**
             * Format: date-time
             * @description When they happened, RFC 3339 with zone; now when not given
             */
            timestamp?: string;
            /** @description Names the item: the same id on the same banner counts once per kind */
            id?: string;
        };
        /**
         * BannerStatistics
         * @description Clicks of one banner. Buckets without clicks are left out, unless `fill=true`.
         */
        BannerStatistics: {
            /**
             * Format: date-time
             * @description First minute of the range
             */
            tsFrom: string;
            /**
             * Format: date-time
             * @description End of the last minute of the range
             */
            tsTo: string;
            /**
             * Format: date-time
             * @description Every click acknowledged on this host before this is counted
             */
            asOf: string;
            /** @description True when a store did not answer and `partial=true` was asked */
            partial?: boolean;
            /** @description The stores that did not answer: redis, postgres */
            missing?: string[];
            /** @description The zone in which hours and days begin, when one was given */
            tz?: string;
            /** @enum {unknown} */
            step: "day" | "hour" | "minute";
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            /** @description All clicks of the range */
            total: number;
            stats: components["schemas"]["Bucket"][];
        };
        /**
         * Bucket
         * @description Clicks of one minute, hour or day. While `final` is false they may still grow.
         */
        Bucket: {
            /**
             * Format: date-time
             * @description When the bucket begins, in UTC
             */
            timestamp: string;
            /** @description Clicks of the bucket that lie in the range */
            count: number;
            /** @description False while the count may still grow */
            final: boolean;
        };
        /**
         * BannerMetrics
         * @description Metrics of one banner, when `metrics` or `traffic` was given.
         */
        BannerMetrics: {
            /**
             * Format: date-time
             * @description First minute of the range
             */
            tsFrom: string;
            /**
             * Format: date-time
             * @description End of the last minute of the range
             */
            tsTo: string;
            /**
             * Format: date-time
             * @description Every click acknowledged on this host before this is counted
             */
            asOf: string;
            /** @description True when a store did not answer and `partial=true` was asked */
            partial?: boolean;
            /** @description The stores that did not answer: redis, postgres */
            missing?: string[];
            /** @description The zone in which hours and days begin, when one was given */
            tz?: string;
            /** @enum {unknown} */
            step: "day" | "hour" | "minute";
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            /** @enum {unknown} */
            traffic: "all" | "bots" | "human";
            totals: components["schemas"]["Figures"];
            stats: components["schemas"]["MetricBucket"][];
        };
        /**
         * Figures
         * @description The metrics asked for, of the whole range.
         */
        Figures: {
            /** @description Clicks */
            clicks?: number;
            /** @description Impressions served */
            served?: number;
            /** @description Impressions of which half was in view for a second */
            viewable?: number;
            /** @description Clicks / viewable; null when nothing was viewable */
            ctr?: number | null;
            /** @description Lower end of the interval of `ctr` (Wilson, 95 %); null when clicks exceed viewable */
            ctrLow?: number | null;
            /** @description Upper end of the interval of `ctr` */
            ctrHigh?: number | null;
        };
        /**
         * MetricBucket
         * @description The metrics asked for, of one minute, hour or day.
         */
        MetricBucket: {
            /**
             * Format: date-time
             * @description When the bucket begins, in UTC
             */
            timestamp: string;
            /** @description Clicks */
            clicks?: number;
            /** @description Impressions served */
            served?: number;
            /** @description Impressions of which half was in view for a second */
            viewable?: number;
            /** @description Clicks / viewable; null when nothing was viewable */
            ctr?: number | null;
            /** @description False while one of the counts may still grow */
            final: boolean;
        };
        /**
         * Statistics
         * @description Clicks of several banners, in the order in which they were asked for.
         */
        Statistics: {
            /**
             * Format: date-time
             * @description First minute of the range
             */
            tsFrom: string;
            /**
             * Format: date-time
             * @description End of the last minute of the range
             */
            tsTo: string;
            /**
             * Format: date-time
             * @description Every click acknowledged on this host before this is counted
             */
            asOf: string;
            /** @description True when a store did not answer and `partial=true` was asked */
            partial?: boolean;
            /** @description The stores that did not answer: redis, postgres */
            missing?: string[];
            /** @description The zone in which hours and days begin, when one was given */
            tz?: string;
            /** @enum {unknown} */
            step: "day" | "hour" | "minute";
            /** @description All clicks of all banners */
            total: number;
            banners: components["schemas"]["BannerSeries"][];
        };
        /**
         * BannerSeries
         * @description Clicks of one banner among several.
         */
        BannerSeries: {
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            total: number;
            stats: components["schemas"]["Bucket"][];
        };
        /**
         * Metrics
         * @description Metrics of several banners, when `metrics` or `traffic` was given.
         */
        Metrics: {
            /**
             * Format: date-time
             * @description First minute of the range
             */
            tsFrom: string;
            /**
             * Format: date-time
             * @description End of the last minute of the range
             */
            tsTo: string;
            /**
             * Format: date-time
             * @description Every click acknowledged on this host before this is counted
             */
            asOf: string;
            /** @description True when a store did not answer and `partial=true` was asked */
            partial?: boolean;
            /** @description The stores that did not answer: redis, postgres */
            missing?: string[];
            /** @description The zone in which hours and days begin, when one was given */
            tz?: string;
            /** @enum {unknown} */
            step: "day" | "hour" | "minute";
            /** @enum {unknown} */
            traffic: "all" | "bots" | "human";
            /** @description Those of all banners together */
            totals: components["schemas"]["Figures"];
            banners: components["schemas"]["Measured"][];
        };
        /**
         * Measured
         * @description Metrics of one banner among several.
         */
        Measured: {
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            totals: components["schemas"]["Figures"];
            stats: components["schemas"]["MetricBucket"][];
        };
        /**
         * TrackerCount
         * @description Hits of a tracker in a range, machines' included. With `step` also by bucket; those without hits are left out.
         */
        TrackerCount: {
            /** Format: uuid */
            tracker_id: string;
            /** @description The begin as it was asked for: a date, or an instant in UTC */
            from: string;
            /** @description The end as it was asked for: a date, or an instant in UTC */
            to: string;
            /** @description The zone of dates, hours and days */
            tz: string;
            /** @description Hits of the range */
            count: number;
            /** @description Different users of the range, those who opted out left out: no sum of buckets */
            users: number;
            /** @description Hits of machines among them */
            bots: number;
            /** @enum {unknown} */
            step?: "day" | "hour" | "minute";
            stats?: components["schemas"]["TrackerBucket"][];
        };
        /**
         * TrackerBucket
         * @description Hits of one minute, hour or day.
         */
        TrackerBucket: {
            /**
             * Format: date-time
             * @description When the bucket begins, in UTC
             */
            timestamp: string;
            /** @description Hits of the bucket that lie in the range */
            count: number;
            /** @description Different users of them, those who opted out left out */
            users: number;
            /** @description Hits of machines among them */
            bots: number;
        };
        /**
         * Total
         * @description Clicks of all banners together. Buckets without clicks are left out, unless `fill=true`.
         */
        Total: {
            /**
             * Format: date-time
             * @description First minute of the range
             */
            tsFrom: string;
            /**
             * Format: date-time
             * @description End of the last minute of the range
             */
            tsTo: string;
            /**
             * Format: date-time
             * @description Every click acknowledged on this host before this is counted
             */
            asOf: string;
            /** @description True when a store did not answer and `partial=true` was asked */
            partial?: boolean;
            /** @description The stores that did not answer: redis, postgres */
            missing?: string[];
            /** @description The zone in which hours and days begin, when one was given */
            tz?: string;
            /** @enum {unknown} */
            step: "day" | "hour" | "minute";
            /** @description All clicks of the range */
            total: number;
            /** @description Banners with clicks in the range */
            banners: number;
            stats: components["schemas"]["Bucket"][];
        };
        /**
         * Top
         * @description The banners with the highest counts, best first; of equal ones the lower id is first.
         */
        Top: {
            /**
             * Format: date-time
             * @description First minute of the range
             */
            tsFrom: string;
            /**
             * Format: date-time
             * @description End of the last minute of the range
             */
            tsTo: string;
            /**
             * Format: date-time
             * @description Every click acknowledged on this host before this is counted
             */
            asOf: string;
            /** @description True when a store did not answer and `partial=true` was asked */
            partial?: boolean;
            /** @description The stores that did not answer: redis, postgres */
            missing?: string[];
            /** @description The zone in which hours and days begin, when one was given */
            tz?: string;
            banners: components["schemas"]["Place"][];
            /** @description The `cursor` of the next places; absent on the last page */
            next?: string;
        };
        /**
         * Place
         * @description A banner and its count in the range.
         */
        Place: {
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            count: number;
            /** @description Its count in the range to compare with */
            before?: number;
        };
        /**
         * RateTop
         * @description The banners with the highest rates, by `ctrLow`, best first; of equal ones the lower id is first.
         */
        RateTop: {
            /**
             * Format: date-time
             * @description First minute of the range
             */
            tsFrom: string;
            /**
             * Format: date-time
             * @description End of the last minute of the range
             */
            tsTo: string;
            /**
             * Format: date-time
             * @description Every click acknowledged on this host before this is counted
             */
            asOf: string;
            /** @description True when a store did not answer and `partial=true` was asked */
            partial?: boolean;
            /** @description The stores that did not answer: redis, postgres */
            missing?: string[];
            /** @description The zone in which hours and days begin, when one was given */
            tz?: string;
            banners: components["schemas"]["RatePlace"][];
            /** @description Banners with fewer viewable impressions than `min`, or with more clicks than them */
            leftOut: number;
        };
        /**
         * RatePlace
         * @description A banner and its rate in the range.
         */
        RatePlace: {
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            /** @description Clicks */
            clicks: number;
            /** @description Impressions of which half was in view for a second */
            viewable: number;
            /** @description Clicks / viewable; null when nothing was viewable */
            ctr: number | null;
            /** @description Lower end of the interval of `ctr` (Wilson, 95 %); null when clicks exceed viewable */
            ctrLow: number | null;
            /** @description Upper end of the interval of `ctr` */
            ctrHigh: number | null;
        };
        /**
         * TrackerTop
         * @description The trackers with the most hits, best first; of equal ones the first by id.
         */
        TrackerTop: {
            /** @description The begin as it was asked for: a date, or an instant in UTC */
            from: string;
            /** @description The end as it was asked for: a date, or an instant in UTC */
            to: string;
            /** @description The zone of dates */
            tz: string;
            trackers: components["schemas"]["TrackerPlace"][];
        };
        /**
         * TrackerPlace
         * @description A tracker and its hits in the range.
         */
        TrackerPlace: {
            /** Format: uuid */
            tracker_id: string;
            /** @description Its value of now; absent when it is no tracker any more */
            value: string;
            count: number;
            users: number;
            bots: number;
        };
        /**
         * PageStatistics
         * @description Page views of a range: in all, by bucket (those without views are left out, unless `fill=true`), and of the most
         *         viewed pages unless one page was asked for.
         */
        PageStatistics: {
            /**
             * Format: date-time
             * @description Begin of the first bucket of the range
             */
            from: string;
            /**
             * Format: date-time
             * @description End of the last bucket of the range
             */
            to: string;
            /**
             * Format: date-time
             * @description When this was asked, in UTC
             */
            asOf: string;
            /**
             * Format: date-time
             * @description Views that came in before are in; absent where nobody can say
             */
            freshUntil?: string;
            /** @enum {unknown} */
            step: "day" | "hour" | "minute";
            /** @description The zone in which hours and days begin */
            tz: string;
            page_id?: string;
            total: components["schemas"]["PageSums"];
            /** @description What the range to compare with adds up to */
            before?: components["schemas"]["PageSums"];
            stats: components["schemas"]["PageBucket"][];
            pages?: components["schemas"]["PagePlace"][];
        };
        /**
         * PageSums
         * @description What a number of views adds up to.
         */
        PageSums: {
            /** @description Page views */
            views: number;
            /** @description Different users: exact up to some ten thousand, then within about 1 % */
            users: number;
            /** @description Mean duration of a view; 0 without views */
            average_duration_ms: number;
            /** @description Share of views that were bounces; 0 without views */
            bounce_rate: number;
        };
        /**
         * PageBucket
         * @description Views of one minute, hour or day.
         */
        PageBucket: {
            /** @description Page views */
            views: number;
            /** @description Different users: exact up to some ten thousand, then within about 1 % */
            users: number;
            /** @description Mean duration of a view; 0 without views */
            average_duration_ms: number;
            /** @description Share of views that were bounces; 0 without views */
            bounce_rate: number;
            /**
             * Format: date-time
             * @description When the bucket begins, in UTC
             */
            timestamp: string;
        };
        /**
         * PagePlace
         * @description Views of one page.
         */
        PagePlace: {
            /** @description Page views */
            views: number;
            /** @description Different users: exact up to some ten thousand, then within about 1 % */
            users: number;
            /** @description Mean duration of a view; 0 without views */
            average_duration_ms: number;
            /** @description Share of views that were bounces; 0 without views */
            bounce_rate: number;
            page_id: string;
            /** @description Its views in the range to compare with */
            before?: number;
        };
        /**
         * StreamEvent
         * @description One event of the stream of live clicks.
         */
        StreamEvent: {
            /**
             * @description What it says
             * @enum {unknown}
             */
            event: "counts" | "end" | "ranking" | "trouble";
            /** @description JSON, as the table of the operation has it */
            data: string;
            /** @description Of counts and rankings: `asOf` in milliseconds */
            id?: string;
        };
        /**
         * Refused
         * @description The items that were not counted. All others were, now or before.
         */
        Refused: {
            /** @description In the order of the items */
            rejected: components["schemas"]["ItemFault"][];
        };
        /**
         * ItemFault
         * @description Why an item was not counted.
         */
        ItemFault: {
            /** @description Place of the item in the array, from 0 */
            index: number;
            /** @description `invalid`, `too_old`, `too_large` or `unknown_banner` */
            code: string;
            /** @description JSON pointer to what is wrong */
            pointer: string;
            /** @description What is wrong, for people */
            detail: string;
        };
        /**
         * Click
         * @description A click on a banner.
         */
        "ingest.collect.items.Click": {
            /** @enum {unknown} */
            k: "click";
            /**
             * Format: uuid
             * @description The view: a random UUID
             */
            v: string;
            /** @description Number of the item within its view */
            n: number;
            /** @description Its age in milliseconds; above 300,000 it is `too_old` */
            t: number;
            /** @description A banner, as in `/stats/{bannerId}` */
            b: string;
        };
        /**
         * Served
         * @description A banner that stands in a visible page.
         */
        Served: {
            /** @enum {unknown} */
            k: "served";
            /**
             * Format: uuid
             * @description The view: a random UUID
             */
            v: string;
            /** @description Number of the item within its view */
            n: number;
            /** @description Its age in milliseconds; above 300,000 it is `too_old` */
            t: number;
            /** @description A banner, as in `/stats/{bannerId}` */
            b: string;
        };
        /**
         * Viewable
         * @description A banner of which half was in view for a second.
         */
        Viewable: {
            /** @enum {unknown} */
            k: "viewable";
            /**
             * Format: uuid
             * @description The view: a random UUID
             */
            v: string;
            /** @description Number of the item within its view */
            n: number;
            /** @description Its age in milliseconds; above 300,000 it is `too_old` */
            t: number;
            /** @description A banner, as in `/stats/{bannerId}` */
            b: string;
        };
        /**
         * View
         * @description One showing of a page.
         */
        View: {
            /** @enum {unknown} */
            k: "view";
            /**
             * Format: uuid
             * @description The view: a random UUID
             */
            v: string;
            /** @description Number of the item within its view */
            n: number;
            /** @description Its age in milliseconds; above 300,000 it is `too_old` */
            t: number;
            /** @description An address of at most 1,024 characters, with http or https */
            u: string;
            /**
             * @description The referrer, of at most 1,024 characters; may be empty
             * @default
             */
            r: string;
        };
        /**
         * Leave
         * @description A page that is no longer visible.
         */
        Leave: {
            /** @enum {unknown} */
            k: "leave";
            /**
             * Format: uuid
             * @description The view: a random UUID
             */
            v: string;
            /** @description Number of the item within its view */
            n: number;
            /** @description Its age in milliseconds; above 300,000 it is `too_old` */
            t: number;
            /** @description Milliseconds for which the page was visible */
            ms: number;
        };
        /**
         * Event
         * @description Something that the page names.
         */
        "ingest.collect.items.Event": {
            /** @enum {unknown} */
            k: "event";
            /**
             * Format: uuid
             * @description The view: a random UUID
             */
            v: string;
            /** @description Number of the item within its view */
            n: number;
            /** @description Its age in milliseconds; above 300,000 it is `too_old` */
            t: number;
            /** @description What happened, as `purchase` */
            e: string;
            /**
             * @description Properties: the text of a JSON object of at most 16 names with plain values, 2,048 bytes
             * @default {}
             */
            p: string;
            /** @description An address of at most 1,024 characters, with http or https */
            u: string;
        };
        /**
         * Out
         * @description A click on a link to another host.
         */
        Out: {
            /** @enum {unknown} */
            k: "out";
            /**
             * Format: uuid
             * @description The view: a random UUID
             */
            v: string;
            /** @description Number of the item within its view */
            n: number;
            /** @description Its age in milliseconds; above 300,000 it is `too_old` */
            t: number;
            /** @description An address of at most 1,024 characters, with http or https */
            u: string;
        };
        /**
         * Taken
         * @description What became of the events of an upload: one result each, in their order.
         */
        Taken: {
            /** @description Events that are stored now */
            accepted: number;
            /** @description Events that are stored since before, or stand here twice */
            duplicate: number;
            /** @description Events whose id has another content */
            conflict: number;
            /** @description Events that cannot be taken */
            rejected: number;
            /** @description One for each event, in the order of the upload */
            results: components["schemas"]["Result"][];
        };
        /**
         * Result
         * @description What became of one event. Only a rejected one has `code`, `pointer` and `detail`.
         */
        Result: {
            /**
             * @description `conflict`: another event of this id came before, and that one counts
             * @enum {unknown}
             */
            status: "accepted" | "conflict" | "duplicate" | "rejected";
            /**
             * @description The stable name of what is wrong
             * @default
             * @example invalid
             * @example too_old
             */
            code: string;
            /**
             * @description JSON pointer to what is wrong, into the array
             * @default
             */
            pointer: string;
            /**
             * @description What is wrong, for people
             * @default
             */
            detail: string;
        };
        /**
         * Event
         * @description One product event, as it is sent.
         */
        "shared.events.rows.Event": {
            /**
             * Format: uuid
             * @description Names the event: the same id counts once, for ever
             */
            event_id: string;
            /**
             * Format: date-time
             * @description When it happened, RFC 3339 with zone, to the millisecond
             */
            occurred_at: string;
            /** @description Whose event it is */
            user_id: string;
            /** @description What happened, as `purchase` */
            event_type: string;
            /**
             * @description Whatever else is known of it; bounded
             * @default {}
             */
            properties: Record<string, never>;
        };
        /**
         * DailyUsers
         * @description Unique users of every day of the range, those without any included.
         */
        DailyUsers: {
            /**
             * Format: date
             * @description First day of the range
             */
            from: string;
            /**
             * Format: date
             * @description Last day of the range
             */
            to: string;
            /** @description The zone of the days */
            tz: string;
            /** @description The segment in its shortest form */
            segment?: string;
            /** @description Different users of the whole range: not the sum of its days */
            users: number;
            /**
             * @description With `approx`: relative error that 99.7 % of the days stay below
             * @default 0
             */
            error: number;
            days: components["schemas"]["DayUsers"][];
        };
        /**
         * DayUsers
         * @description Users of one day.
         */
        DayUsers: {
            /** Format: date */
            date: string;
            /** @description Different users with an event of the segment on that day */
            users: number;
        };
        /**
         * EventSeries
         * @description Events of a range: in all, and by bucket. Buckets without events are left out, unless `fill=true`.
         */
        EventSeries: {
            /** @description The begin as it was asked for: a date, or an instant in UTC */
            from: string;
            /** @description The end as it was asked for: a date, or an instant in UTC */
            to: string;
            /** @enum {unknown} */
            step: "day" | "hour" | "minute";
            /** @description The zone in which hours and days begin */
            tz: string;
            /** @description The segment in its shortest form */
            segment?: string;
            /** @description The type, where one was asked for */
            event_type?: string;
            /** @description Of the whole range: users are not the sum of the buckets */
            total: components["schemas"]["EventSums"];
            stats: components["schemas"]["EventBucket"][];
        };
        /**
         * EventSums
         * @description Events and their users.
         */
        EventSums: {
            /** @description Events */
            count: number;
            /** @description Different users of them */
            users: number;
        };
        /**
         * EventBucket
         * @description Events of one minute, hour or day.
         */
        EventBucket: {
            /** @description Events */
            count: number;
            /** @description Different users of them */
            users: number;
            /**
             * Format: date-time
             * @description When the bucket begins, in UTC
             */
            timestamp: string;
        };
        /**
         * TopEvents
         * @description The most frequent types of events, best first; of equal ones the first by name.
         */
        TopEvents: {
            /**
             * Format: date
             * @description First day of the range
             */
            from: string;
            /**
             * Format: date
             * @description Last day of the range
             */
            to: string;
            /** @description The zone of the days */
            tz: string;
            /** @description The segment in its shortest form */
            segment?: string;
            events: components["schemas"]["TypeCount"][];
        };
        /**
         * TypeCount
         * @description A type of events and how often it occurred.
         */
        TypeCount: {
            event_type: string;
            count: number;
            /** @description How often in the range to compare with */
            before?: number;
        };
        /**
         * EventFields
         * @description Fields of events, those of most events first.
         */
        EventFields: {
            /**
             * Format: date
             * @description First day of the sample, in UTC
             */
            since: string;
            /** @description Events of the sample: others may have other fields and values */
            sampled: number;
            fields: components["schemas"]["EventField"][];
        };
        /**
         * EventField
         * @description A field as a segment names it.
         */
        EventField: {
            field: string;
            /** @description Events of the sample that have it */
            events: number;
            /** @description Values of 5 users or more, as a segment writes them, the most common first */
            values: string[];
        };
        /**
         * Retention
         * @description A triangle: each later cohort has one window less behind it.
         */
        Retention: {
            /** Format: date */
            start_date: string;
            /** @enum {unknown} */
            window: "day" | "week";
            /** @description The zone in which windows begin */
            tz: string;
            /** @description What counts as activity, if not every event does */
            event_type?: string;
            cohorts: components["schemas"]["Cohort"][];
        };
        /**
         * Cohort
         * @description Users whose first activity lies in one window.
         */
        Cohort: {
            /**
             * Format: date
             * @description First day of the window in which they came
             */
            start: string;
            /** @description How many came */
            size: number;
            /** @description How many of them were active in that window, the next, and so on */
            users: number[];
            /** @description The same as shares of the size; null in an empty cohort */
            rates: (number | null)[];
        };
        /**
         * EventLogs
         * @description A page of event logs.
         */
        EventLogs: {
            /**
             * Format: date-time
             * @description Begin of the range
             */
            from: string;
            /**
             * Format: date-time
             * @description End of the range, which is not in it
             */
            to: string;
            /** @description The filter in its shortest form */
            filter?: string;
            events: components["schemas"]["LoggedEvent"][];
            /** @description The `cursor` of the next page; absent on the last one */
            next?: string;
        };
        /**
         * LoggedEvent
         * @description One event of an application.
         */
        LoggedEvent: {
            /** Format: uuid */
            event_id: string;
            event_type: string;
            /**
             * Format: date-time
             * @description When it happened, in UTC, to the microsecond
             */
            event_date_time: string;
            environment: string;
            metadata_version: number;
            /** @description What the application said */
            event_context: Record<string, never>;
            /** @description Trace and log context of the writer */
            context: Record<string, never>;
        };
        /**
         * WebStatistics
         * @description Views, visits and visitors of a site, by a value of theirs.
         */
        WebStatistics: {
            /** @description The site */
            site: string;
            /**
             * Format: date
             * @description First day of the range
             */
            from: string;
            /**
             * Format: date
             * @description Last day of the range
             */
            to: string;
            /** @description The zone of the site, in which its days begin */
            tz: string;
            /** @enum {unknown} */
            traffic: "all" | "bots" | "human";
            /** @description What the rows are parted by */
            by?: string;
            /** @description The filter, as it was understood */
            filter?: string;
            /** @description Different visitors, of a single day alone */
            visitors?: number;
            totals: components["schemas"]["WebNumbers"];
            rows?: components["schemas"]["WebRow"][];
        };
        /**
         * WebNumbers
         * @description Views, visits and visitors of a range.
         */
        WebNumbers: {
            /** @description Views of pages */
            views: number;
            /** @description Visits that began in the range */
            visits: number;
            bounceRate: number | null;
            duration: number | null;
            engaged: number | null;
            /** @description Visitors of each day, added up over the days */
            visitorDays: number;
            /** @description Views of nobody: they are in `views` and in nothing else */
            unattributed: number;
        };
        /**
         * WebRow
         * @description The same of one value.
         */
        WebRow: {
            /** @description A day, an hour in UTC, a path, a name: what `by` asks for */
            value: string;
            /** @description Views of the value, or in visits of it */
            views: number;
            /** @description Visits of the value that began in the range */
            visits: number;
            bounceRate: number | null;
            duration: number | null;
            engaged: number | null;
            /** @description Visitors of each day, added up over the days */
            visitorDays: number;
            /** @description Views of nobody */
            unattributed: number;
            /**
             * @description Rows of the value: views, or events, or links out
             * @default 0
             */
            items: number;
        };
        /**
         * Banners
         * @description A page of banners, in the order of their ids.
         */
        Banners: {
            banners: components["schemas"]["Banner"][];
            /** @description The `cursor` of the next page; absent on the last one */
            next?: string;
        };
        /**
         * Banner
         * @description A registered banner.
         */
        Banner: {
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            /** @description Its name; empty when it has none */
            name: string;
            /**
             * Format: date-time
             * @description When it was registered, in UTC
             */
            createdAt: string;
        };
        /**
         * Trackers
         * @description A page of trackers, in the order of their ids.
         */
        Trackers: {
            trackers: components["schemas"]["Tracker"][];
            /** @description The `cursor` of the next page; absent on the last one */
            next?: string;
        };
        /**
         * Tracker
         * @description A tracker.
         */
        Tracker: {
            /** Format: uuid */
            tracker_id: string;
            /** @description Its value of now; each hit keeps that of its moment */
            value: string;
            /**
             * Format: date-time
             * @description When it was added, in UTC
             */
            created_at: string;
        };
        /**
         * Links
         * @description A page of links, in the order of their slugs.
         */
        Links: {
            links: components["schemas"]["Link"][];
            /** @description The `cursor` of the next page; absent on the last one */
            next?: string;
        };
        /**
         * Link
         * @description A redirect link.
         */
        Link: {
            slug: string;
            /** @description A banner: a decimal integer without sign, zeros in front or spaces */
            bannerId: number;
            /** @description Its destination */
            url: string;
            /** @description Whether it leads anywhere, if it is not over or used up */
            active: boolean;
            /**
             * Format: date-time
             * @description When it ends, in UTC
             */
            expiresAt?: string;
            /** @description Clicks of people that it leads on */
            maxClicks?: number;
            /**
             * Format: date-time
             * @description When it was added, in UTC
             */
            createdAt: string;
        };
        /**
         * Sites
         * @description A page of sites, in the order of their names.
         */
        Sites: {
            sites: components["schemas"]["Site"][];
            /** @description The `cursor` of the next page; absent on the last one */
            next?: string;
        };
        /**
         * Site
         * @description A site.
         */
        Site: {
            site: string;
            /** @description The zone in which its days begin */
            timezone: string;
            /** @description Hosts whose pages may report; `*.` stands for subdomains */
            hosts: string[];
            /**
             * @description Whether visitors of a day are told apart
             * @enum {unknown}
             */
            visitors: "daily" | "none";
            /**
             * Format: date-time
             * @description When it was added, in UTC
             */
            createdAt: string;
        };
        /**
         * Session
         * @description Who is signed in. `open`: no key is needed here. `out`: nobody is.
         */
        Session: {
            /** @enum {unknown} */
            state: "in" | "open" | "out";
            /** @description Prefix of the key, or subject of the token */
            name?: string;
            /** @description What may be read, sorted */
            scopes?: string[];
            /**
             * Format: date-time
             * @description When the session ends, in UTC
             */
            expiresAt?: string;
            /** @description Absent when `out` */
            service?: components["schemas"]["Service"];
        };
        /**
         * Service
         * @description What a dashboard has to know of the service.
         */
        Service: {
            /** @description Seconds of a counted minute */
            minuteS: number;
            /**
             * @description Banners that count: any, or registered ones
             * @enum {unknown}
             */
            banners: "open" | "registered";
            /** @description Whether hits, events, page views and event logs can be read */
            clickhouse: boolean;
            limits: components["schemas"]["Limits"];
        };
        /**
         * Limits
         * @description What a client may send here.
         */
        Limits: {
            /** @description Version of the service */
            version: string;
            /**
             * Format: date-time
             * @description Time of the service, in UTC
             */
            now: string;
            clicks: components["schemas"]["ClickLimits"];
            events: components["schemas"]["EventLimits"];
            /** @description Scopes of the key that was sent, sorted; absent without a key */
            scopes?: string[];
        };
        /**
         * ClickLimits
         * @description Bounds of `POST /stats`.
         */
        ClickLimits: {
            /** @description Items of a request */
            itemsMax: number;
            /** @description Bytes of a request */
            bytesMax: number;
            /** @description Seconds for which an `Idempotency-Key` or an id counts once */
            windowS: number;
            /** @description Seconds that a timestamp may lie in the past */
            backdateMaxS: number;
            /** @description Seconds that a timestamp may lie in the future */
            skewMaxS: number;
        };
        /**
         * EventLimits
         * @description Bounds of `POST /events`.
         */
        EventLimits: {
            /** @description Events of a request */
            itemsMax: number;
            /** @description Bytes of a request */
            bytesMax: number;
            /** @description Bytes of the properties of an event */
            propertiesBytesMax: number;
        };
        /**
         * Wish
         * @description How to sign in.
         */
        Wish: {
            /**
             * @description Stay signed in for 30 days, instead of 12 hours
             * @default false
             */
            remember: boolean;
        };
        /**
         * Live
         * @description The process answers.
         */
        Live: {
            /**
             * @default ok
             * @enum {unknown}
             */
            status: "ok";
        };
        /**
         * Ready
         * @description `degraded`: clicks are accepted, but something that they or the reads need is away. `unavailable`: they are
         *         not.
         */
        Ready: {
            /** @enum {unknown} */
            status: "degraded" | "ok" | "unavailable";
            /** @description State of lanes, redis, postgres, minutes, banners, trackers, keys, log, its sinks, and outbox */
            checks: {
                [key: string]: "degraded" | "ok" | "unavailable";
            };
            /**
             * @description What is not well and why, as `redis: NOAUTH`: the code of the error; `logs` have the rest
             * @default []
             */
            reasons: string[];
        };
        /**
         * Accounts
         * @description Clicks by where they are, and rows of each table of ClickHouse.
         */
        Accounts: {
            accepted: number;
            persisted: number;
            open: number;
            inLanes: number;
            difference: number;
            records: {
                [key: string]: components["schemas"]["TableAccount"];
            };
        };
        /**
         * TableAccount
         * @description What a table gets, in its own rows (events, hits, page views) by where they are. `duplicate` was left out because
         *         the table has it; `skipped` never was one more: repeats of an append, and what aborted transactions left in Kafka.
         *         `difference` counts records of the log and should be 0. `in_flight` and `accepted` are null while more wait than can
         *         be counted in a moment.
         */
        TableAccount: {
            accepted: number | null;
            stored: number;
            duplicate: number;
            deadLettered: number;
            skipped: number;
            inFlight: number | null;
            inJournals: number;
            difference: number;
        };
        /**
         * Freshness
         * @description How far behind what is stored is.
         */
        Freshness: {
            /**
             * Format: date-time
             * @description When this was true, in UTC
             */
            asOf: string;
            /**
             * @description By table of ClickHouse
             * @default {}
             */
            tables: {
                [key: string]: components["schemas"]["TableFreshness"];
            };
            minutes: components["schemas"]["MinutesFreshness"];
        };
        /**
         * TableFreshness
         * @description How far behind a table of ClickHouse is.
         */
        TableFreshness: {
            /**
             * Format: date-time
             * @description Everything that came in before is in the table
             */
            freshUntil: string;
            /** @description Seconds since the oldest waiting record came in; 0 without one */
            oldestS: number;
            /** @description Records on their way; one of events holds up to 1,000 events */
            waiting: number;
            /**
             * @description `stopped`: something has to be mended first
             * @enum {unknown}
             */
            state: "moving" | "stopped";
            /** @description Why it is stopped: the code of the error */
            reason?: string;
        };
        /**
         * MinutesFreshness
         * @description How long clicks wait for Postgres. They are counted meanwhile.
         */
        MinutesFreshness: {
            /** @description Seconds since the end of the oldest minute that is not in Postgres; 0 without */
            oldestS: number;
        };
        /**
         * DeadLetters
         * @description Letters that wait: how many by reason, and a page of them, the oldest first.
         */
        DeadLetters: {
            counts: components["schemas"]["LetterCount"][];
            letters: components["schemas"]["Letter"][];
            /** @description The `cursor` of the next page; absent on the last one */
            next?: string;
        };
        /**
         * LetterCount
         * @description Letters of a table that wait for one reason.
         */
        LetterCount: {
            table: string;
            /** @description `malformed`, `columns`, another word of the sink, or a code of ClickHouse */
            reason: string;
            count: number;
        };
        /**
         * Letter
         * @description A letter that waits.
         */
        Letter: {
            /** @description What `tallybook dlq` calls it */
            id: string;
            /** @description The table that its record was for */
            table: string;
            /** @description Why it can be no row */
            reason: string;
            topic: string;
            partition: number;
            /** @description Of Kafka the offset, of Redis the milliseconds of the entry's id */
            offset: number;
            /**
             * Format: date-time
             * @description When it was refused, in UTC
             */
            created_at: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    bannerStatistics: {
        parameters: {
            query?: {
                /**
                 * @description Begin of the range: RFC 3339 with zone, whose minute is in the range, or a date, whose local day of `tz` is. One hour before `tsTo` when not given
                 * @example 2026-03-01T00:00:00Z
                 */
                tsFrom?: string;
                /**
                 * @description End of the range: RFC 3339 with zone, not in it, or a date, whose local day of `tz` is in it as a whole. The end of the current minute when not given
                 * @example 2026-03-01T02:00:00Z
                 */
                tsTo?: string;
                /** @description Length of a bucket, `minute` when not given. The longest ranges are 31 days with step=minute, 366 days with step=hour, 3,660 days with step=day */
                step?: "day" | "hour" | "minute";
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Also the buckets without clicks, with count 0 */
                fill?: boolean;
                /** @description While Redis or Postgres is away: what is known, marked as partial, not 503 */
                partial?: boolean;
                /**
                 * @description What to return, with commas between: `clicks`, impressions `served` and `viewable`, and `ctr`, which is clicks / viewable. With it or with `traffic` the answer has `totals` and these names instead of `total` and `count`
                 * @example [
                 *       "clicks",
                 *       "viewable",
                 *       "ctr"
                 *     ]
                 */
                metrics?: ("clicks" | "ctr" | "served" | "viewable")[];
                /** @description Whose: of people (`human`, when not given), of machines (`bots`), or of both (`all`). Clicks of `POST /stats` are not looked at and count as those of people */
                traffic?: "all" | "bots" | "human";
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The banner
                 * @example 42
                 */
                bannerId: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The clicks */
            200: {
                headers: {
                    /** @description With CSV: what `asOf` says in JSON */
                    "Tallybook-As-Of"?: string;
                    /** @description With CSV: what `missing` says in JSON, when a store did not answer */
                    "Tallybook-Missing"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "bannerId": 42,
                     *       "tsFrom": "2026-03-01T00:00:00Z",
                     *       "tsTo": "2026-03-01T02:00:00Z",
                     *       "step": "hour",
                     *       "total": 5,
                     *       "asOf": "2026-03-01T01:34:56.789012Z",
                     *       "stats": [
                     *         {
                     *           "timestamp": "2026-03-01T00:00:00Z",
                     *           "count": 4,
                     *           "final": true
                     *         },
                     *         {
                     *           "timestamp": "2026-03-01T01:00:00Z",
                     *           "count": 1,
                     *           "final": false
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["BannerStatistics"] | components["schemas"]["BannerMetrics"];
                    "text/csv": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `redis_unavailable`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "redis_unavailable" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    countClick: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description Names this click, so that a repeat does not count
                 * @example 5f3c2b1a
                 */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The banner
                 * @example 42
                 */
                bannerId: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Counted, or counted before */
            204: {
                headers: {
                    /** @description `true`: before */
                    "Idempotent-Replayed"?: string;
                    /** @description Where a limit is set: writes that a client may make at once */
                    "RateLimit-Limit"?: string;
                    /** @description How many of them are left */
                    "RateLimit-Remaining"?: string;
                    /** @description Seconds until all of them are there again */
                    "RateLimit-Reset"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `unknown_banner` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unknown_banner";
                        /** @constant */
                        status?: 404;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `too_many_new_banners`, `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_many_new_banners" | "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `lanes_full`, `redis_unavailable`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "lanes_full" | "redis_unavailable" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    clickPreflight: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The banner
                 * @example 42
                 */
                bannerId: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What the page may */
            204: {
                headers: {
                    /** @description The origin, if it may */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
    mayUpload: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It may */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    takeEvents: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description Names the upload, of this API key
                 * @example 2026-03-01/7
                 */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        /** @description The events */
        requestBody: {
            content: {
                /**
                 * @example [
                 *       {
                 *         "event_id": "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e",
                 *         "occurred_at": "2026-03-01T12:00:00.250+02:00",
                 *         "user_id": "u-17",
                 *         "event_type": "purchase",
                 *         "properties": {
                 *           "country": "UA",
                 *           "price": 12.5
                 *         }
                 *       }
                 *     ]
                 */
                "application/json": components["schemas"]["shared.events.rows.Event"][];
            };
        };
        responses: {
            /** @description What became of the events */
            202: {
                headers: {
                    /** @description `true`: the answer of an earlier upload under the key */
                    "Idempotent-Replayed"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "accepted": 1,
                     *       "duplicate": 0,
                     *       "conflict": 0,
                     *       "rejected": 1,
                     *       "results": [
                     *         {
                     *           "status": "accepted"
                     *         },
                     *         {
                     *           "status": "rejected",
                     *           "code": "too_old",
                     *           "pointer": "/1/occurred_at",
                     *           "detail": "It lies more than 1830 days back"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Taken"];
                };
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `conflict` */
            409: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "conflict";
                        /** @constant */
                        status?: 409;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `log_full`, `log_unavailable`, `redis_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "log_full" | "log_unavailable" | "redis_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    statistics: {
        parameters: {
            query?: {
                /**
                 * @description The banners, with commas between them; required without `tracker_id`
                 * @example [
                 *       42,
                 *       43
                 *     ]
                 */
                bannerIds?: number[];
                /**
                 * @description The tracker, where hits are asked for instead of clicks
                 * @example 01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e
                 */
                tracker_id?: string;
                /**
                 * @description With `tracker_id`: begin of the range, a date of `tz` or an RFC 3339 time
                 * @example 2026-03-01
                 */
                from?: string;
                /**
                 * @description With `tracker_id`: end of the range; a date of `tz` is in it as a whole, a time is not
                 * @example 2026-03-31
                 */
                to?: string;
                /**
                 * @description Begin of the range: RFC 3339 with zone, whose minute is in the range, or a date, whose local day of `tz` is. One hour before `tsTo` when not given
                 * @example 2026-03-01T00:00:00Z
                 */
                tsFrom?: string;
                /**
                 * @description End of the range: RFC 3339 with zone, not in it, or a date, whose local day of `tz` is in it as a whole. The end of the current minute when not given
                 * @example 2026-03-01T02:00:00Z
                 */
                tsTo?: string;
                /** @description Length of a bucket, `minute` when not given. The longest ranges are 31 days with step=minute, 366 days with step=hour, 3,660 days with step=day */
                step?: "day" | "hour" | "minute";
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Also the buckets without clicks, with count 0 */
                fill?: boolean;
                /** @description While Redis or Postgres is away: what is known, marked as partial, not 503 */
                partial?: boolean;
                /**
                 * @description What to return, with commas between: `clicks`, impressions `served` and `viewable`, and `ctr`, which is clicks / viewable. With it or with `traffic` the answer has `totals` and these names instead of `total` and `count`
                 * @example [
                 *       "clicks",
                 *       "viewable",
                 *       "ctr"
                 *     ]
                 */
                metrics?: ("clicks" | "ctr" | "served" | "viewable")[];
                /** @description Whose: of people (`human`, when not given), of machines (`bots`), or of both (`all`). Clicks of `POST /stats` are not looked at and count as those of people */
                traffic?: "all" | "bots" | "human";
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The clicks, or the hits */
            200: {
                headers: {
                    /** @description With CSV: what `asOf` says in JSON */
                    "Tallybook-As-Of"?: string;
                    /** @description With CSV: what `missing` says in JSON, when a store did not answer */
                    "Tallybook-Missing"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "tsFrom": "2026-03-01T00:00:00Z",
                     *       "tsTo": "2026-03-01T02:00:00Z",
                     *       "step": "hour",
                     *       "total": 5,
                     *       "asOf": "2026-03-01T01:34:56.789012Z",
                     *       "banners": [
                     *         {
                     *           "bannerId": 42,
                     *           "total": 5,
                     *           "stats": [
                     *             {
                     *               "timestamp": "2026-03-01T00:00:00Z",
                     *               "count": 4,
                     *               "final": true
                     *             },
                     *             {
                     *               "timestamp": "2026-03-01T01:00:00Z",
                     *               "count": 1,
                     *               "final": false
                     *             }
                     *           ]
                     *         },
                     *         {
                     *           "bannerId": 43,
                     *           "total": 0,
                     *           "stats": []
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Statistics"] | components["schemas"]["Metrics"] | components["schemas"]["TrackerCount"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `redis_unavailable`, `postgres_unavailable`, `clickhouse_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "redis_unavailable" | "postgres_unavailable" | "clickhouse_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    countClicks: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description The clicks */
        requestBody: {
            content: {
                /**
                 * @example [
                 *       {
                 *         "bannerId": 42
                 *       },
                 *       {
                 *         "bannerId": 43,
                 *         "count": 5,
                 *         "timestamp": "2026-03-01T00:00:00Z",
                 *         "id": "7d1f"
                 *       }
                 *     ]
                 */
                "application/json": components["schemas"]["ingest.clicks.bulk.Click"][];
            };
        };
        responses: {
            /** @description What became of the items */
            200: {
                headers: {
                    /** @description Where a limit is set: writes that a client may make at once */
                    "RateLimit-Limit"?: string;
                    /** @description How many of them are left */
                    "RateLimit-Remaining"?: string;
                    /** @description Seconds until all of them are there again */
                    "RateLimit-Reset"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": 3,
                     *       "accepted": 1,
                     *       "clicks": 1,
                     *       "duplicate": 1,
                     *       "rejected": 1,
                     *       "duplicates": [
                     *         1
                     *       ],
                     *       "errors": [
                     *         {
                     *           "index": 2,
                     *           "pointer": "/2/bannerId",
                     *           "code": "invalid",
                     *           "detail": "Expected `int`, got `str`"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Counted"];
                };
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `too_many_new_banners`, `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_many_new_banners" | "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `lanes_full`, `redis_unavailable`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "lanes_full" | "redis_unavailable" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    clicksPreflight: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What the page may */
            204: {
                headers: {
                    /** @description The origin, if it may */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
    totalClicks: {
        parameters: {
            query?: {
                /**
                 * @description Begin of the range: RFC 3339 with zone, whose minute is in the range, or a date, whose local day of `tz` is. One hour before `tsTo` when not given
                 * @example 2026-03-01T00:00:00Z
                 */
                tsFrom?: string;
                /**
                 * @description End of the range: RFC 3339 with zone, not in it, or a date, whose local day of `tz` is in it as a whole. The end of the current minute when not given
                 * @example 2026-03-01T02:00:00Z
                 */
                tsTo?: string;
                /** @description Length of a bucket, `minute` when not given. The longest ranges are 31 days with step=minute, 366 days with step=hour, 3,660 days with step=day */
                step?: "day" | "hour" | "minute";
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Also the buckets without clicks, with count 0 */
                fill?: boolean;
                /** @description While Redis or Postgres is away: what is known, marked as partial, not 503 */
                partial?: boolean;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The clicks */
            200: {
                headers: {
                    /** @description With CSV: what `asOf` says in JSON */
                    "Tallybook-As-Of"?: string;
                    /** @description With CSV: what `missing` says in JSON, when a store did not answer */
                    "Tallybook-Missing"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "tsFrom": "2026-03-01T00:00:00Z",
                     *       "tsTo": "2026-03-01T02:00:00Z",
                     *       "step": "hour",
                     *       "total": 5,
                     *       "asOf": "2026-03-01T01:34:56.789012Z",
                     *       "banners": 2,
                     *       "stats": [
                     *         {
                     *           "timestamp": "2026-03-01T00:00:00Z",
                     *           "count": 4,
                     *           "final": true
                     *         },
                     *         {
                     *           "timestamp": "2026-03-01T01:00:00Z",
                     *           "count": 1,
                     *           "final": false
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Total"];
                    "text/csv": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `redis_unavailable`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "redis_unavailable" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    topBanners: {
        parameters: {
            query?: {
                /**
                 * @description Begin of the range: RFC 3339 with zone, whose minute is in the range, or a date, whose local day of `tz` is. One hour before `tsTo` when not given
                 * @example 2026-03-01T00:00:00Z
                 */
                tsFrom?: string;
                /**
                 * @description End of the range: RFC 3339 with zone, not in it, or a date, whose local day of `tz` is in it as a whole. The end of the current minute when not given
                 * @example 2026-03-01T02:00:00Z
                 */
                tsTo?: string;
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Banners to name, 10 when not given; 1,000 at most, except as CSV */
                limit?: number;
                /** @description `next` of the page before; everything else but `limit` has to stay as it was. Give `tsTo` as well, so that all pages are of one range */
                cursor?: string;
                /**
                 * @description Begin of a range to compare with: each place has its count there as `before`
                 * @example 2026-02-28T22:00:00Z
                 */
                againstFrom?: string;
                /**
                 * @description End of the range to compare with
                 * @example 2026-03-01T00:00:00Z
                 */
                againstTo?: string;
                /** @description What decides: `clicks` when not given */
                metric?: "clicks" | "ctr" | "served" | "viewable";
                /** @description With `metric=ctr`: viewable impressions that a banner needs, 100 by default */
                min?: number;
                /** @description Whose: of people (`human`, when not given), of machines (`bots`), or of both (`all`). Clicks of `POST /stats` are not looked at and count as those of people */
                traffic?: "all" | "bots" | "human";
                /** @description While Redis or Postgres is away: what is known, marked as partial, not 503 */
                partial?: boolean;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The banners */
            200: {
                headers: {
                    /** @description With CSV: what `asOf` says in JSON */
                    "Tallybook-As-Of"?: string;
                    /** @description With CSV: what `missing` says in JSON, when a store did not answer */
                    "Tallybook-Missing"?: string;
                    /** @description With CSV and `metric=ctr`: what `leftOut` says in JSON */
                    "Tallybook-Left-Out"?: string;
                    /** @description With CSV: the address of the next places (`next`, RFC 8288); absent on the last page */
                    Link?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "tsFrom": "2026-03-01T00:00:00Z",
                     *       "tsTo": "2026-03-01T02:00:00Z",
                     *       "asOf": "2026-03-01T01:34:56.789012Z",
                     *       "banners": [
                     *         {
                     *           "bannerId": 42,
                     *           "count": 5
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Top"] | components["schemas"]["RateTop"];
                    "text/csv": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `redis_unavailable`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "redis_unavailable" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    topTrackers: {
        parameters: {
            query: {
                /**
                 * @description Begin of the range, a date of `tz` or an RFC 3339 time
                 * @example 2026-03-01
                 */
                from: string;
                /**
                 * @description End of the range; a date of `tz` is in it as a whole, a time is not
                 * @example 2026-03-31
                 */
                to: string;
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Trackers to name, 10 when not given */
                limit?: number;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The trackers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-03-01",
                     *       "to": "2026-03-31",
                     *       "tz": "UTC",
                     *       "trackers": [
                     *         {
                     *           "tracker_id": "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e",
                     *           "value": "Spring sale",
                     *           "count": 1204,
                     *           "users": 310,
                     *           "bots": 80
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["TrackerTop"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    pageStatistics: {
        parameters: {
            query: {
                /**
                 * @description Begin of the range, a date of `tz` or an RFC 3339 time
                 * @example 2026-03-01
                 */
                from: string;
                /**
                 * @description End of the range; a date of `tz` is in it as a whole, a time is not
                 * @example 2026-03-31
                 */
                to: string;
                /** @description Size of a bucket, `hour` when not given. The longest ranges are 8 days with step=minute, 366 days with step=hour, 3,660 days with step=day */
                step?: "day" | "hour" | "minute";
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Also the buckets without views, with 0 */
                fill?: boolean;
                /**
                 * @description Views of this page alone
                 * @example /products/7
                 */
                page_id?: string;
                /** @description Pages to name, 10 when not given */
                limit?: number;
                /**
                 * @description Begin of a range to compare with, as `from`; `before` is what it has
                 * @example 2026-02-01
                 */
                against_from?: string;
                /**
                 * @description End of that range, as `to`
                 * @example 2026-02-28
                 */
                against_to?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The views */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-03-01T00:00:00Z",
                     *       "to": "2026-04-01T00:00:00Z",
                     *       "asOf": "2026-03-31T12:34:56.789012Z",
                     *       "freshUntil": "2026-03-31T12:34:56.789012Z",
                     *       "step": "hour",
                     *       "tz": "UTC",
                     *       "total": {
                     *         "views": 5,
                     *         "users": 3,
                     *         "average_duration_ms": 48200,
                     *         "bounce_rate": 0.2
                     *       },
                     *       "stats": [
                     *         {
                     *           "views": 5,
                     *           "users": 3,
                     *           "average_duration_ms": 48200,
                     *           "bounce_rate": 0.2,
                     *           "timestamp": "2026-03-01T12:00:00Z"
                     *         }
                     *       ],
                     *       "pages": [
                     *         {
                     *           "views": 5,
                     *           "users": 3,
                     *           "average_duration_ms": 48200,
                     *           "bounce_rate": 0.2,
                     *           "page_id": "/products/7"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["PageStatistics"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    liveClicks: {
        parameters: {
            query?: {
                /**
                 * @description The banners, with commas between them; required without `top`
                 * @example [
                 *       42,
                 *       43
                 *     ]
                 */
                bannerIds?: number[];
                /** @description Instead of banners: so many of the most clicked ones */
                top?: number;
                /** @description With `top`: minutes of the ranking, which end with the current one; 60 when not given */
                window?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The stream: its events, one after the other */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["StreamEvent"];
                };
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    track: {
        parameters: {
            query: {
                /**
                 * @description The tracker
                 * @example 01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e
                 */
                id: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Counted */
            204: {
                headers: {
                    /** @description `user_id`, unless the client opts out */
                    "Set-Cookie"?: string;
                    /** @description The origin of the page, if it is an allowed one */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `unknown_tracker` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unknown_tracker";
                        /** @constant */
                        status?: 404;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `log_full`, `log_unavailable`, `journal_full`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "log_full" | "log_unavailable" | "journal_full" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    trackBeacon: {
        parameters: {
            query: {
                /**
                 * @description The tracker
                 * @example 01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e
                 */
                id: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Counted */
            204: {
                headers: {
                    /** @description `user_id`, unless the client opts out */
                    "Set-Cookie"?: string;
                    /** @description The origin of the page, if it is an allowed one */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `unknown_tracker` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unknown_tracker";
                        /** @constant */
                        status?: 404;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `log_full`, `log_unavailable`, `journal_full`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "log_full" | "log_unavailable" | "journal_full" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    trackPreflight: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What the page may */
            204: {
                headers: {
                    /** @description The origin, if it may */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
    trackPixel: {
        parameters: {
            query: {
                /**
                 * @description The tracker
                 * @example 01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e
                 */
                id: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A pixel */
            200: {
                headers: {
                    /** @description `user_id`, unless the client opts out */
                    "Set-Cookie"?: string;
                    /** @description The origin of the page, if it is an allowed one */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "image/gif": string;
                };
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `unknown_tracker` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unknown_tracker";
                        /** @constant */
                        status?: 404;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `log_full`, `log_unavailable`, `journal_full`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "log_full" | "log_unavailable" | "journal_full" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    trackPixelPreflight: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What the page may */
            204: {
                headers: {
                    /** @description The origin, if it may */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
    followLink: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The link
                 * @example spring
                 */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Counted; the destination is in `location` */
            302: {
                headers: {
                    /** @description The destination of the link, with what the link lets pass of the query */
                    Location?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unknown_link`, `unknown_banner` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unknown_link" | "unknown_banner";
                        /** @constant */
                        status?: 404;
                    };
                };
            };
            /** @description `link_gone` */
            410: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "link_gone";
                        /** @constant */
                        status?: 410;
                    };
                };
            };
            /** @description `too_many_new_banners`, `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_many_new_banners" | "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `lanes_full`, `redis_unavailable`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "lanes_full" | "redis_unavailable" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    collect: {
        parameters: {
            query?: {
                /**
                 * @description The site, where its pages send `Origin: null` or several sites are meant to be told apart
                 * @example shop
                 */
                s?: string;
                /** @description `1` when the browser is driven by a program: it counts as a machine */
                w?: "0" | "1";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description The items. Send them as text/plain: then no browser asks first */
        requestBody: {
            content: {
                /**
                 * @example [
                 *       {
                 *         "k": "served",
                 *         "v": "5b0e2c7e-6a0a-4d39-8a4f-0d6f2d3b9c11",
                 *         "n": 1,
                 *         "t": 540,
                 *         "b": "42"
                 *       },
                 *       {
                 *         "k": "click",
                 *         "v": "5b0e2c7e-6a0a-4d39-8a4f-0d6f2d3b9c11",
                 *         "n": 4,
                 *         "t": 12,
                 *         "b": "42"
                 *       }
                 *     ]
                 */
                "application/json": (components["schemas"]["ingest.collect.items.Click"] | components["schemas"]["Served"] | components["schemas"]["Viewable"] | components["schemas"]["View"] | components["schemas"]["Leave"] | components["schemas"]["ingest.collect.items.Event"] | components["schemas"]["Out"])[];
            };
        };
        responses: {
            /** @description Counted, now or before, but for the items named */
            200: {
                headers: {
                    /** @description `*`, also of errors */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "rejected": [
                     *         {
                     *           "index": 1,
                     *           "code": "too_old",
                     *           "pointer": "/1/t",
                     *           "detail": "It is older than 300,000 ms"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Refused"];
                };
            };
            /** @description All items are counted, now or before */
            204: {
                headers: {
                    /** @description `*`, also of errors */
                    "Access-Control-Allow-Origin"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `unknown_site`, `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unknown_site" | "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `too_many_new_banners`, `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_many_new_banners" | "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `redis_unavailable`, `postgres_unavailable`, `log_full`, `log_unavailable`, `journal_full`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "redis_unavailable" | "postgres_unavailable" | "log_full" | "log_unavailable" | "journal_full" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    dailyUsers: {
        parameters: {
            query: {
                /**
                 * @description First day of the range
                 * @example 2026-03-01
                 */
                from: string;
                /**
                 * @description Last day of the range, which has 1,098 at most
                 * @example 2026-03-03
                 */
                to: string;
                /**
                 * @description Only these events: comparisons of `event_type`, `user_id` and `properties.<key>` with `: != < <= > >=`, joined by `and`, `or`, `not` and parentheses. A fault names its character, from 0
                 * @example event_type:purchase and properties.country:UA
                 */
                segment?: string;
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Estimates, which take about half the time */
                approx?: boolean;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The users */
            200: {
                headers: {
                    /** @description Of CSV, NDJSON and Parquet: what `error` is in JSON */
                    "X-Relative-Error"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-03-01",
                     *       "to": "2026-03-03",
                     *       "tz": "UTC",
                     *       "segment": "event_type:purchase and properties.country:UA",
                     *       "users": 15,
                     *       "error": 0,
                     *       "days": [
                     *         {
                     *           "date": "2026-03-01",
                     *           "users": 12
                     *         },
                     *         {
                     *           "date": "2026-03-02",
                     *           "users": 0
                     *         },
                     *         {
                     *           "date": "2026-03-03",
                     *           "users": 7
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["DailyUsers"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    eventSeries: {
        parameters: {
            query: {
                /**
                 * @description Begin of the range, a date of `tz` or an RFC 3339 time
                 * @example 2026-03-01
                 */
                from: string;
                /**
                 * @description End of the range; a date of `tz` is in it as a whole, a time is not
                 * @example 2026-03-31
                 */
                to: string;
                /** @description Length of a bucket, `day` when not given */
                step?: "day" | "hour" | "minute";
                /**
                 * @description Only these events: comparisons of `event_type`, `user_id` and `properties.<key>` with `: != < <= > >=`, joined by `and`, `or`, `not` and parentheses. A fault names its character, from 0
                 * @example event_type:purchase and properties.country:UA
                 */
                segment?: string;
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Events of this type alone */
                event_type?: string;
                /** @description Also the buckets without events, with 0 */
                fill?: boolean;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The events */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-03-01",
                     *       "to": "2026-03-03",
                     *       "step": "day",
                     *       "tz": "UTC",
                     *       "total": {
                     *         "count": 40,
                     *         "users": 12
                     *       },
                     *       "stats": [
                     *         {
                     *           "count": 40,
                     *           "users": 12,
                     *           "timestamp": "2026-03-01T00:00:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["EventSeries"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    topEvents: {
        parameters: {
            query: {
                /**
                 * @description First day of the range
                 * @example 2026-03-01
                 */
                from: string;
                /**
                 * @description Last day of the range, which has 1,098 at most
                 * @example 2026-03-03
                 */
                to: string;
                /**
                 * @description Only these events: comparisons of `event_type`, `user_id` and `properties.<key>` with `: != < <= > >=`, joined by `and`, `or`, `not` and parentheses. A fault names its character, from 0
                 * @example event_type:purchase and properties.country:UA
                 */
                segment?: string;
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
                /** @description Types to name, 10 when not given */
                limit?: number;
                /**
                 * @description First day of a range to compare with; `before` is the number in it
                 * @example 2026-02-01
                 */
                against_from?: string;
                /**
                 * @description Last day of that range
                 * @example 2026-02-28
                 */
                against_to?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The types */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-03-01",
                     *       "to": "2026-03-03",
                     *       "tz": "UTC",
                     *       "events": [
                     *         {
                     *           "event_type": "purchase",
                     *           "count": 40
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["TopEvents"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    eventFields: {
        parameters: {
            query?: {
                /** @description Events of this type alone */
                event_type?: string;
                /** @description Only fields that have this in their name, in any case */
                q?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The fields */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "since": "2026-02-01",
                     *       "sampled": 2000,
                     *       "fields": [
                     *         {
                     *           "field": "event_type",
                     *           "events": 2000,
                     *           "values": [
                     *             "page_opened",
                     *             "purchase"
                     *           ]
                     *         },
                     *         {
                     *           "field": "properties.country",
                     *           "events": 1204,
                     *           "values": [
                     *             "UA",
                     *             "DE"
                     *           ]
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["EventFields"];
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    retention: {
        parameters: {
            query: {
                /**
                 * @description First day of the first window
                 * @example 2026-03-02
                 */
                start_date: string;
                /** @description How many windows, 3 when not given */
                windows?: number;
                /** @description Length of a window, `week` (seven days) when not given */
                window?: "day" | "week";
                /** @description What counts as activity */
                event_type?: string;
                /**
                 * @description Zone in which hours and days begin, by its IANA name; UTC when not given
                 * @example Europe/Berlin
                 */
                tz?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The cohorts */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "start_date": "2026-03-02",
                     *       "window": "week",
                     *       "tz": "UTC",
                     *       "cohorts": [
                     *         {
                     *           "start": "2026-03-02",
                     *           "size": 4,
                     *           "users": [
                     *             4,
                     *             2
                     *           ],
                     *           "rates": [
                     *             1,
                     *             0.5
                     *           ]
                     *         },
                     *         {
                     *           "start": "2026-03-09",
                     *           "size": 1,
                     *           "users": [
                     *             1
                     *           ],
                     *           "rates": [
                     *             1
                     *           ]
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Retention"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    eventLogs: {
        parameters: {
            query: {
                /**
                 * @description Begin of the range, a date in UTC or an RFC 3339 time, exact to the microsecond
                 * @example 2026-03-01T12:00:00Z
                 */
                from: string;
                /**
                 * @description End of the range, 31 days later at most; a date is in it as a whole, a time is not
                 * @example 2026-03-01T13:00:00Z
                 */
                to: string;
                /**
                 * @description Events of this type alone, which is what the table is sorted by
                 * @example payment_failed
                 */
                event_type?: string;
                /**
                 * @description Events of this environment alone
                 * @example production
                 */
                environment?: string;
                /**
                 * @description Only these events: comparisons of `event_type`, `environment`, `event_id`, `metadata_version`, `event_context.<key>` and `context.<key>`, in the grammar of `segment`. A fault names its character, from 0
                 * @example event_context.order.id:4711 and not context.log.level:debug
                 */
                filter?: string;
                /** @description By time: `desc` (when not given) or `asc` */
                order?: "asc" | "desc";
                /** @description Events of a page, 100 when not given */
                limit?: number;
                /** @description `next` of the page before; everything else but `limit` has to stay as it was */
                cursor?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    /** @description The address of the next page (`next`, RFC 8288); absent on the last one */
                    Link?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-03-01T12:00:00Z",
                     *       "to": "2026-03-01T13:00:00Z",
                     *       "filter": "event_context.order.id:4711 and not context.log.level:debug",
                     *       "events": [
                     *         {
                     *           "event_id": "0195a1b2-0000-4000-8000-000000000001",
                     *           "event_type": "payment_failed",
                     *           "event_date_time": "2026-03-01T12:34:56.789012Z",
                     *           "environment": "production",
                     *           "metadata_version": 1,
                     *           "event_context": {
                     *             "order": {
                     *               "id": 4711
                     *             }
                     *           },
                     *           "context": {
                     *             "log": {
                     *               "level": "error"
                     *             }
                     *           }
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["EventLogs"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `busy`, `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "busy" | "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    webStatistics: {
        parameters: {
            query: {
                /**
                 * @description The site
                 * @example shop
                 */
                site: string;
                /**
                 * @description First day
                 * @example 2026-03-01
                 */
                from: string;
                /**
                 * @description Last day, in the range; 366 days at most
                 * @example 2026-03-07
                 */
                to: string;
                /** @description What the rows are parted by; totals alone when not given */
                by?: "ad" | "banner" | "browser" | "campaign" | "country" | "day" | "device" | "entry" | "event" | "exit" | "host" | "hour" | "medium" | "os" | "out" | "page" | "referrer" | "source";
                /** @description Whose items count: of people (`human`, the default), machines, or all */
                traffic?: "all" | "bots" | "human";
                /**
                 * @description A condition on the view, and on the first view of a visit: host, page, referrer, source, medium, campaign, ad, country, device, browser, os
                 * @example country:DE AND NOT source:news
                 */
                filter?: string;
                /**
                 * @description Numbers that the caller relies on, separated by commas: views, visits, bounceRate, duration, engaged, visitors, visitorDays, unattributed. The answer has all that can be known. `visitors` of more than one day is 422
                 * @example visits,visitorDays
                 */
                metrics?: string;
                /** @description Rows, 100 when not given; days and hours are all given */
                limit?: number;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The numbers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "site": "shop",
                     *       "from": "2026-03-01",
                     *       "to": "2026-03-07",
                     *       "tz": "Europe/Berlin",
                     *       "traffic": "human",
                     *       "by": "source",
                     *       "totals": {
                     *         "views": 12,
                     *         "visits": 5,
                     *         "bounceRate": 0.4,
                     *         "duration": 61.5,
                     *         "engaged": 40.25,
                     *         "visitorDays": 4,
                     *         "unattributed": 1
                     *       },
                     *       "rows": [
                     *         {
                     *           "value": "news",
                     *           "views": 12,
                     *           "visits": 5,
                     *           "bounceRate": 0.4,
                     *           "duration": 61.5,
                     *           "engaged": 40.25,
                     *           "visitorDays": 4,
                     *           "unattributed": 1,
                     *           "items": 0
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["WebStatistics"];
                    "text/csv": string;
                    "application/x-ndjson": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed`, `foreign_host` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed" | "foreign_host";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `clickhouse_unavailable`, `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "clickhouse_unavailable" | "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    banners: {
        parameters: {
            query?: {
                /**
                 * @description Only banners whose id begins with this, or whose name has it in it, in any case
                 * @example spring
                 */
                q?: string;
                /**
                 * @description Only these banners, with commas between them
                 * @example [
                 *       42,
                 *       43
                 *     ]
                 */
                ids?: number[];
                /** @description Banners of a page, 100 when not given */
                limit?: number;
                /** @description `next` of the page before; everything else but `limit` has to stay as it was */
                cursor?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "banners": [
                     *         {
                     *           "bannerId": 42,
                     *           "name": "Spring sale",
                     *           "createdAt": "2026-03-01T09:00:00Z"
                     *         }
                     *       ],
                     *       "next": "KtsRP3W9mJzQe1Xn0aVb5cT7"
                     *     }
                     */
                    "application/json": components["schemas"]["Banners"];
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    trackers: {
        parameters: {
            query?: {
                /**
                 * @description Only trackers whose id begins with this, or whose value has it in it, in any case
                 * @example spring
                 */
                q?: string;
                /** @description Trackers of a page, 100 when not given */
                limit?: number;
                /** @description `next` of the page before; everything else but `limit` has to stay as it was */
                cursor?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "trackers": [
                     *         {
                     *           "tracker_id": "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e",
                     *           "value": "Spring sale",
                     *           "created_at": "2026-03-01T09:00:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Trackers"];
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    links: {
        parameters: {
            query?: {
                /**
                 * @description Only links that have this in their slug or destination, in any case, or whose banner it is
                 * @example spring
                 */
                q?: string;
                /** @description Rows of a page, 100 when not given */
                limit?: number;
                /** @description `next` of the page before; everything else but `limit` has to stay as it was */
                cursor?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "links": [
                     *         {
                     *           "slug": "spring",
                     *           "bannerId": 42,
                     *           "url": "https://shop.example/sale",
                     *           "active": true,
                     *           "createdAt": "2026-03-01T09:00:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Links"];
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    sites: {
        parameters: {
            query?: {
                /**
                 * @description Only sites that have this in their name or in a host, in any case
                 * @example shop
                 */
                q?: string;
                /** @description Rows of a page, 100 when not given */
                limit?: number;
                /** @description `next` of the page before; everything else but `limit` has to stay as it was */
                cursor?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "sites": [
                     *         {
                     *           "site": "shop",
                     *           "timezone": "Europe/Berlin",
                     *           "hosts": [
                     *             "*.shop.example",
                     *             "shop.example"
                     *           ],
                     *           "visitors": "daily",
                     *           "createdAt": "2026-03-01T09:00:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Sites"];
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    session: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The session */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "state": "in",
                     *       "name": "k3v7q2mzt4xa",
                     *       "scopes": [
                     *         "stats:read"
                     *       ],
                     *       "expiresAt": "2026-03-02T00:34:56Z",
                     *       "service": {
                     *         "minuteS": 60,
                     *         "banners": "open",
                     *         "clickhouse": true,
                     *         "limits": {
                     *           "version": "0.1.0",
                     *           "now": "2026-03-01T12:34:56.789012Z",
                     *           "clicks": {
                     *             "itemsMax": 10000,
                     *             "bytesMax": 1048576,
                     *             "windowS": 600,
                     *             "backdateMaxS": 86400,
                     *             "skewMaxS": 60
                     *           },
                     *           "events": {
                     *             "itemsMax": 10000,
                     *             "bytesMax": 5242880,
                     *             "propertiesBytesMax": 8192
                     *           },
                     *           "scopes": [
                     *             "stats:read"
                     *           ]
                     *         }
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Session"];
                };
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    signIn: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description How long to stay signed in */
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "remember": true
                 *     }
                 */
                "application/json": components["schemas"]["Wish"];
            };
        };
        responses: {
            /** @description No key is needed here, so there is no session */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "state": "open"
                     *     }
                     */
                    "application/json": components["schemas"]["Session"];
                };
            };
            /** @description Signed in */
            201: {
                headers: {
                    /** @description The cookie of the session */
                    "Set-Cookie"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "state": "in",
                     *       "name": "k3v7q2mzt4xa",
                     *       "scopes": [
                     *         "stats:read"
                     *       ],
                     *       "expiresAt": "2026-03-02T00:34:56Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Session"];
                };
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `body_timeout` */
            408: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "body_timeout";
                        /** @constant */
                        status?: 408;
                    };
                };
            };
            /** @description `too_large` */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "too_large";
                        /** @constant */
                        status?: 413;
                    };
                };
            };
            /** @description `unsupported_media_type` */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unsupported_media_type";
                        /** @constant */
                        status?: 415;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    signOut: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Signed out */
            204: {
                headers: {
                    /** @description The cookie, forgotten */
                    "Set-Cookie"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    snippet: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of the version that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The script */
            200: {
                headers: {
                    /** @description The version */
                    ETag?: string;
                    /** @description An hour, or for ever */
                    "Cache-Control"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "text/javascript": string;
                };
            };
            /** @description The version of `If-None-Match` is the one asked for */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
    live: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It does */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Live"];
                };
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
    ready: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Clicks are accepted */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ready"];
                };
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description Clicks are not accepted now */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ready"];
                };
            };
        };
    };
    accounting: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Clicks and records by where they are */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Accounts"];
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `redis_unavailable`, `postgres_unavailable`, `log_unavailable`, `unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "redis_unavailable" | "postgres_unavailable" | "log_unavailable" | "unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    limits: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The limits */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "version": "0.1.0",
                     *       "now": "2026-03-01T12:34:56.789012Z",
                     *       "clicks": {
                     *         "itemsMax": 10000,
                     *         "bytesMax": 1048576,
                     *         "windowS": 600,
                     *         "backdateMaxS": 86400,
                     *         "skewMaxS": 60
                     *       },
                     *       "events": {
                     *         "itemsMax": 10000,
                     *         "bytesMax": 5242880,
                     *         "propertiesBytesMax": 8192
                     *       },
                     *       "scopes": [
                     *         "stats:read"
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Limits"];
                };
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    freshness: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The ages */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "asOf": "2026-03-01T12:34:56.789012Z",
                     *       "tables": {
                     *         "events": {
                     *           "freshUntil": "2026-03-01T12:34:14.789Z",
                     *           "oldestS": 42,
                     *           "waiting": 9,
                     *           "state": "stopped",
                     *           "reason": "overload"
                     *         }
                     *       },
                     *       "minutes": {
                     *         "oldestS": 3.1
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Freshness"];
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `redis_unavailable`, `postgres_unavailable`, `log_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "redis_unavailable" | "postgres_unavailable" | "log_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    deadLetters: {
        parameters: {
            query?: {
                /**
                 * @description Letters of this table alone
                 * @example events
                 */
                table?: string;
                /** @description Letters of a page, 100 when not given */
                limit?: number;
                /** @description `next` of the page before, with the same `table` */
                cursor?: string;
            };
            header?: {
                /** @description The `ETag` of the answer that is known */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "counts": [
                     *         {
                     *           "table": "events",
                     *           "reason": "columns",
                     *           "count": 1
                     *         }
                     *       ],
                     *       "letters": [
                     *         {
                     *           "id": "streams/events/0/1772366400000-0/events",
                     *           "table": "events",
                     *           "reason": "columns",
                     *           "topic": "events",
                     *           "partition": 0,
                     *           "offset": 1772366400000,
                     *           "created_at": "2026-03-01T12:00:00Z"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["DeadLetters"];
                };
            };
            /** @description The answer of `If-None-Match` still holds */
            304: {
                headers: {
                    /** @description When it was asked again, where it has that */
                    "Tallybook-As-Of"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description `foreign_host`, `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "foreign_host" | "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unauthorized` */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unauthorized";
                        /** @constant */
                        status?: 401;
                    };
                };
            };
            /** @description `forbidden`, `foreign_request` */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "forbidden" | "foreign_request";
                        /** @constant */
                        status?: 403;
                    };
                };
            };
            /** @description `invalid` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "invalid";
                        /** @constant */
                        status?: 422;
                    };
                };
            };
            /** @description `limited` */
            429: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "limited";
                        /** @constant */
                        status?: 429;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
            /** @description `postgres_unavailable`, `busy` */
            503: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "postgres_unavailable" | "busy";
                        /** @constant */
                        status?: 503;
                    };
                };
            };
        };
    };
    openapi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description An OpenAPI 3.1 document */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
    dashboard: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/html": string;
                };
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
    docs: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page that draws /openapi.json */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/html": string;
                };
            };
            /** @description `malformed` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "malformed";
                        /** @constant */
                        status?: 400;
                    };
                };
            };
            /** @description `unexpected` */
            500: {
                headers: {
                    /** @description Seconds to wait before the request is repeated */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code?: "unexpected";
                        /** @constant */
                        status?: 500;
                    };
                };
            };
        };
    };
}
