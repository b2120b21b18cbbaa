/** Errors of the interface (RFC 9457), and what had no answer. */

export interface Fault {
  readonly parameter?: string;
  readonly pointer?: string;
  readonly position?: number;
  readonly detail: string;
}

export class Problem extends Error {
  constructor(
    /** 0 when there was no answer. */
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly requestId = "",
    readonly faults: readonly Fault[] = [],
    /** Milliseconds after which to ask again. */
    readonly retryAfter: number | undefined = undefined,
    /** The scope that the key lacks. */
    readonly scope = "",
  ) {
    super(detail);
  }

  /** Whether asking again may help without anybody doing something. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 429 || (this.status >= 500 && this.retryAfter !== undefined);
  }
}

export const NO_ANSWER = "no_answer";

function seconds(text: string | null): number | undefined {
  return text !== null && /^\d{1,5}$/.test(text) ? Number(text) * 1000 : undefined;
}

/** The problem that an answer reports, also one that a proxy wrote in another form. */
export async function problemOf(answer: Response): Promise<Problem> {
  const requestId = answer.headers.get("x-request-id") ?? "";
  const retryAfter = seconds(answer.headers.get("retry-after"));
  const scope = /scope="([a-z:]+)"/.exec(answer.headers.get("www-authenticate") ?? "")?.[1] ?? "";
  try {
    const body = await answer.json();
    if (typeof body.code === "string") {
      const faults = Array.isArray(body.errors) ? body.errors : [];
      const detail = String(body.detail ?? body.title ?? "");
      return new Problem(
        answer.status,
        body.code,
        detail,
        String(body.requestId ?? requestId),
        faults,
        retryAfter,
        scope,
      );
    }
  } catch {
    // no JSON: a proxy's own page
  }
  return new Problem(answer.status, `http_${answer.status}`, answer.statusText, requestId, [], retryAfter, scope);
}
