/** What a panel gives away: its table as a file, the files of the service, and the question itself. */

import { useState } from "preact/hooks";
import { ask } from "../api/client";
import { Command } from "../parts/copy";
import { Dialog } from "../parts/dialog";
import { Menu } from "../parts/menu";
import { type Column, sorted } from "../parts/table";
import { session } from "../state/session";
import { ROOT } from "../state/url";
import { T } from "../text";
import { csv } from "./csv";
import { curl } from "./curl";

export const FILES: Readonly<Record<string, string>> = {
  CSV: "text/csv",
  NDJSON: "application/x-ndjson",
  Parquet: "application/vnd.apache.parquet",
};

export interface Exported<R> {
  /** Of digits, letters, dots and dashes only. */
  readonly file: string;
  readonly caption: string;
  readonly columns: readonly Column<R>[];
  readonly rows: readonly R[];
  /** The question to the service, and the files that it answers with. */
  readonly address?: string;
  readonly service?: readonly string[];
  /** The question of files, where these may have more rows. */
  readonly files?: string;
  readonly sortName?: string;
}

function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function fileName(parts: readonly (string | undefined)[]): string {
  const safe = parts.filter(Boolean).map((part) =>
    part!
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, ""),
  );
  return ["tallybook", ...safe].join("-");
}

export function exportMenu<R>(props: Exported<R>) {
  return <ExportMenu {...(props as Exported<unknown>)} />;
}

function ExportMenu(props: Exported<unknown>) {
  const [isOpen, open] = useState(false);
  const [failed, fail] = useState("");
  const needsKey = session.value?.state === "in";
  const address = props.address === undefined ? undefined : ROOT + props.address;
  const files = props.files ?? props.address ?? "";
  const asShown = () => {
    const rows = sorted(props.rows, props.columns, props.sortName);
    save(new Blob([csv(props.columns, rows)], { type: "text/csv" }), `${props.file}.csv`);
  };
  const asServed = async (kind: string) => {
    fail("");
    try {
      const answer = await ask(files, { headers: { accept: FILES[kind]! } });
      save(await answer.blob(), `${props.file}-${T.served}.${kind.toLowerCase()}`);
    } catch {
      fail(T.failed);
    }
  };
  return (
    <>
      <Menu label={T.export} name="export">
        <button type="button" onClick={asShown}>
          {T.csvShown}
        </button>
        {address !== undefined &&
          props.service?.map((kind) => (
            <button key={kind} type="button" onClick={() => asServed(kind)}>
              {T.csvServed(kind)}
            </button>
          ))}
        {address !== undefined && (
          <>
            <button type="button" onClick={() => open(true)}>
              {T.asCommand}
            </button>
            <a href={address}>{T.asJson}</a>
          </>
        )}
      </Menu>
      {failed && (
        <span role="alert" class="soft">
          {failed}
        </span>
      )}
      {isOpen && address !== undefined && (
        <Dialog title={T.asCommand} close={() => open(false)}>
          <p class="soft">{props.caption}</p>
          <Command text={curl(address, needsKey)} />
          {props.service?.includes("CSV") && <Command text={curl(ROOT + files, needsKey, "text/csv")} />}
          {needsKey && <p class="soft">{T.keyInVariable}</p>}
        </Dialog>
      )}
    </>
  );
}
