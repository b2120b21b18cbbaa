/** A button that shows a few more below it. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

export function Menu(props: { label: string; name?: string; children: ComponentChildren; class?: string }) {
  const [isOpen, open] = useState(false);
  const here = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  useEffect(() => {
    if (!isOpen) return;
    const outside = (event: Event) => here.current?.contains(event.target as Node) || open(false);
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
    };
  }, [isOpen]);
  return (
    <div
      ref={here}
      class={`menu ${props.class ?? ""}`}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !isOpen) return;
        event.stopPropagation();
        open(false);
        button.current?.focus();
      }}
    >
      <button
        ref={button}
        type="button"
        data-menu={props.name}
        aria-expanded={isOpen}
        aria-controls={id}
        onClick={() => open(!isOpen)}
      >
        {props.label} <span aria-hidden="true">▾</span>
      </button>
      <div
        id={id}
        class="below"
        hidden={!isOpen}
        onClick={(event) => (event.target as Element).closest("button, a") && open(false)}
      >
        {isOpen && props.children}
      </div>
    </div>
  );
}
