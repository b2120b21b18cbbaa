/** One field for a key. It is sent once and then forgotten. */

import { useState } from "preact/hooks";
import { Problem } from "../api/problem";
import { signIn } from "../state/session";
import { T } from "../text";
import { M } from "../text.more";

const isLoopback = () => /^(localhost|127\.|\[::1\])/.test(location.hostname);

export function SignIn() {
  const [text, type] = useState("");
  const [isKept, keep] = useState(false);
  const [isBusy, busy] = useState(false);
  const [failed, fail] = useState("");
  const isPlain = location.protocol === "http:" && !isLoopback();
  const submit = async (event: Event) => {
    event.preventDefault();
    busy(true);
    fail("");
    try {
      const key = text.trim();
      type("");
      await signIn(key, isKept);
    } catch (error) {
      const problem = error instanceof Problem ? error : undefined;
      fail(
        problem?.status === 401
          ? M.badKey
          : problem?.status === 403
            ? M.noReadScope
            : (T.problems[problem?.code ?? ""] ?? problem?.detail ?? T.failed),
      );
    } finally {
      busy(false);
    }
  };
  return (
    <section class="panel signin">
      <h1 id="title" tabIndex={-1}>
        {M.signIn}
      </h1>
      <p>{M.signInMore}</p>
      {isPlain && (
        <p class="trouble" role="alert">
          {M.plainHttp}
        </p>
      )}
      <form onSubmit={(event) => void submit(event)}>
        <label>
          {M.key}
          <input
            type="password"
            required
            autocomplete="off"
            spellcheck={false}
            value={text}
            onInput={(event) => type(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input type="checkbox" checked={isKept} onChange={() => keep(!isKept)} /> {M.remember}
        </label>
        <button type="submit" disabled={isBusy}>
          {M.signIn}
        </button>
      </form>
      {failed && (
        <p class="fault" role="alert">
          {failed}
        </p>
      )}
      <details>
        <summary>{M.noKey}</summary>
        <pre>
          <code>tallybook keys create dashboard --scope stats:read --scope logs:read</code>
        </pre>
      </details>
    </section>
  );
}
