// Draws /openapi.json. Everything is set as text, never as HTML: the document is input like any other.

/** Characters of an answer that are shown. */
const SHOWN_MAX = 20000;
/** Where the service is: this script is one level below it. */
const ROOT = new URL("../", import.meta.url).href;
const METHODS = ["get", "post", "put", "patch", "delete"];

const at = (id) => document.getElementById(id);

/** An element: `el("a", {href: "#x"}, "text", child, ...)`. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return node;
}

/** Paragraphs of a description; of Markdown it knows `code` alone. */
function prose(text = "") {
  return text.split(/\n{2,}/).filter(Boolean).map((part) => el("p", {}, inline(part)));
}

function inline(text = "") {
  return text.split(/(`[^`]+`)/).map((part) => (part.startsWith("`") && part.length > 2 ? el("code", {}, part.slice(1, -1)) : part));
}

function table(headings, rows) {
  const head = el("tr", {}, headings.map((heading) => el("th", { scope: "col" }, heading)));
  return el("div", { class: "wide" }, el("table", {}, el("thead", {}, head), el("tbody", {}, rows)));
}

// -- schemas ----------------------------------------------------------------------------------------------------------

const nameOf = (schema) => schema.$ref?.split("/").pop();

/** What a value of the schema looks like, in a few words, with links to named schemas. */
function kind(schema = {}) {
  const name = nameOf(schema);
  if (name) return [el("a", { href: `#schema-${name}` }, name)];
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  if ("const" in schema) return [JSON.stringify(schema.const)];
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return either.flatMap((one, i) => (i ? [" or ", ...kind(one)] : kind(one)));
  if (schema.allOf) return kind(schema.allOf[0]);
  if (schema.type === "array") return ["list of ", ...kind(schema.items), bounds(schema.minItems, schema.maxItems, " items")];
  const length = bounds(schema.minLength, schema.maxLength, " characters");
  return [schema.format ?? schema.type ?? "anything", bounds(schema.minimum, schema.maximum, ""), length];
}

function bounds(least, most, unit) {
  if (least === undefined && most === undefined) return "";
  if (most === undefined) return `, at least ${least}${unit}`;
  return least === undefined ? `, at most ${most}${unit}` : `, ${least} to ${most}${unit}`;
}

function fields(schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) =>
    el("tr", {},
      el("td", {}, el("code", {}, name), required.has(name) ? el("span", { class: "required" }, "required") : null),
      el("td", { class: "kind" }, kind(field)),
      el("td", {}, inline(field.description))));
  return rows.length ? table(["Field", "Type", "Meaning"], rows) : el("p", { class: "kind" }, kind(schema));
}

function drawSchemas(document_) {
  const schemas = Object.entries(document_.components?.schemas ?? {});
  at("schemas").append(el("h2", {}, "Schemas"), ...schemas.map(([name, schema]) =>
    el("article", { id: `schema-${name}` }, el("h3", {}, name), prose(schema.description), fields(schema))));
}

// -- operations -------------------------------------------------------------------------------------------------------

function parameters(operation) {
  const rows = (operation.parameters ?? []).map((parameter) =>
    el("tr", {},
      el("td", {}, el("code", {}, parameter.name), parameter.required ? el("span", { class: "required" }, "required") : null),
      el("td", {}, parameter.in),
      el("td", { class: "kind" }, kind(parameter.schema)),
      el("td", {}, inline(parameter.description))));
  return rows.length ? [el("h4", {}, "Parameters"), table(["Name", "In", "Type", "Meaning"], rows)] : [];
}

function exampleOf(content) {
  return content.example ?? Object.values(content.examples ?? {})[0]?.value;
}

function body(operation) {
  if (!operation.requestBody) return [];
  const [media, content] = Object.entries(operation.requestBody.content)[0];
  const example = exampleOf(content);
  return [
    el("h4", {}, "Body"),
    el("p", {}, el("code", {}, media), ": ", kind(content.schema), ". ", inline(operation.requestBody.description)),
    example === undefined ? null : el("pre", { tabindex: "0" }, JSON.stringify(example, null, 2)),
  ];
}

/** A code and the first sentence of its meaning. */
function refusal(problem) {
  return el("div", {}, el("a", { href: `#${problem.code}` }, el("code", {}, problem.code)), " ", inline(problem.title.split(". ")[0]));
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const problems = answer.content?.["application/problem+json"]?.examples;
    const meaning = problems ? Object.values(problems).map(({ value }) => refusal(value)) : inline(answer.description);
    const kinds = Object.entries(answer.content ?? {}).map(([media, content]) =>
      problems
        ? el("div", {}, kind(content.schema))
        : el("div", {}, el("code", {}, media), " ", media === "application/json" ? kind(content.schema) : null));
    const headers = Object.entries(answer.headers ?? {}).map(([name, header]) =>
      el("div", { class: "kind" }, name, ": ", inline(header.description)));
    return el("tr", {}, el("td", {}, el("code", {}, status)), el("td", {}, meaning, headers), el("td", {}, kinds));
  });
  const good = Object.entries(operation.responses).find(([status]) => status.startsWith("2"))?.[1];
  const example = exampleOf(good?.content?.["application/json"] ?? {});
  return [
    el("h4", {}, "Answers"),
    table(["Status", "Meaning", "Content"], rows),
    example === undefined ? null : el("pre", { tabindex: "0", "aria-label": "Example answer" }, JSON.stringify(example, null, 2)),
  ];
}

/** The path and query that the values of a form ask for. */
function address(path, operation, values) {
  let filled = path;
  const query = new URLSearchParams();
  for (const parameter of operation.parameters ?? []) {
    const value = values[parameter.name] ?? "";
    if (parameter.in === "path") filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (parameter.in === "query" && value !== "") query.set(parameter.name, value);
  }
  const text = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return text ? `${filled}?${text}` : filled;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function curl(method, path, operation, values) {
  const parts = ["curl", quoted(ROOT + address(path, operation, values).slice(1))];
  if (method !== "get") parts.splice(1, 0, "-X", method.toUpperCase());
  for (const parameter of operation.parameters ?? []) {
    const value = values[parameter.name];
    if (parameter.in === "header" && value) parts.push("-H", quoted(`${parameter.name}: ${value}`));
  }
  const [media, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const example = content && exampleOf(content);
  if (example !== undefined && operation.requestBody.required) {
    parts.push("-H", quoted(`Content-Type: ${media}`), "-d", quoted(JSON.stringify(example)));
  }
  return parts.join(" ");
}

/** A command with a button that copies it; `set` replaces the command. */
function command() {
  const text = el("pre", { tabindex: "0" });
  const button = el("button", { type: "button", onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch { // no clipboard outside of secure contexts: select it for the keyboard
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }
  return { node: el("div", { class: "command" }, text, button), set: (value) => { text.textContent = value; } };
}

function firstValue(parameter) {
  if (!parameter.required) return "";
  return Array.isArray(parameter.example) ? parameter.example.join(",") : String(parameter.example ?? "");
}

function field(parameter) {
  const choices = parameter.schema.enum ?? (parameter.schema.type === "boolean" ? ["true", "false"] : undefined);
  const control = choices
    ? el("select", { name: parameter.name }, el("option", { value: "" }, "not given"), choices.map((choice) => el("option", {}, choice)))
    : el("input", {
      name: parameter.name, value: firstValue(parameter), placeholder: parameter.example ?? "", required: parameter.required,
      autocomplete: "off", spellcheck: "false",
    });
  return el("label", {}, parameter.name, control);
}

/** The form that sends a GET and shows what came back. */
function trial(path, operation, changed) {
  const asked = (operation.parameters ?? []).filter((parameter) => parameter.in !== "header");
  const result = el("div", { role: "status" });
  const form = el("form", { oninput: () => changed(values()), onsubmit: send }, asked.map(field), el("button", {}, "Send"));
  const values = () => Object.fromEntries(new FormData(form));
  async function send(event) {
    event.preventDefault();
    const began = performance.now();
    try {
      const answer = await fetch(ROOT + address(path, operation, values()).slice(1), { headers: { accept: "application/json" } });
      const text = await answer.text();
      const took = Math.round(performance.now() - began);
      const line = `${answer.status} ${answer.statusText}, ${answer.headers.get("content-type") ?? "no content"}, ${took} ms`;
      result.replaceChildren(el("p", { class: answer.ok ? "" : "failed" }, line), el("pre", { tabindex: "0" }, pretty(text)));
    } catch (error) {
      result.replaceChildren(el("p", { class: "failed" }, `No answer: ${error.message}`));
    }
  }
  return el("details", {}, el("summary", {}, "Try it"), form, result);
}

function pretty(text) {
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* not JSON: as it is */ }
  return shown.length > SHOWN_MAX ? `${shown.slice(0, SHOWN_MAX)}\n… ${shown.length - SHOWN_MAX} characters more` : shown;
}

function draw(method, path, operation) {
  const line = command();
  const first = Object.fromEntries((operation.parameters ?? []).map((parameter) => [parameter.name, firstValue(parameter)]));
  const show = (values) => line.set(curl(method, path, operation, values));
  show(first);
  return el("article", { id: operation.operationId },
    el("h3", {}, el("span", { class: `method ${method}` }, method.toUpperCase()), el("span", { class: "path" }, path)),
    el("p", { class: "summary" }, operation.summary),
    operation.description === operation.summary ? [] : prose(operation.description),
    parameters(operation), body(operation), answers(operation),
    el("h4", {}, "curl"), line.node,
    method === "get" ? trial(path, operation, show) : null);
}

function drawOperations(document_) {
  for (const { name } of document_.tags ?? []) {
    const list = el("ul");
    at("contents").append(el("h2", {}, name), list);
    at("operations").append(el("h2", {}, name));
    for (const [path, item] of Object.entries(document_.paths)) {
      for (const method of METHODS.filter((known) => item[known]?.tags?.includes(name))) {
        at("operations").append(draw(method, path, item[method]));
        list.append(el("li", {}, el("a", { href: `#${item[method].operationId}` },
          el("span", { class: `method ${method}` }, method.toUpperCase()), path)));
      }
    }
  }
  const more = [["#problems", "Problems"], ["#schemas", "Schemas"]];
  at("contents").append(el("h2", {}, "More"), el("ul", {}, more.map(([href, text]) => el("li", {}, el("a", { href }, text)))));
}

function drawProblems(document_) {
  at("codes").append(...(document_["x-problems"] ?? []).map((problem) =>
    el("tr", { id: problem.code },
      el("td", {}, el("a", { href: `#${problem.code}` }, el("code", {}, problem.code))),
      el("td", {}, String(problem.status)),
      el("td", {}, problem.retryable ? "yes" : "no"),
      el("td", {}, inline(problem.title)))));
  at("problems").hidden = false;
}

// -- page -------------------------------------------------------------------------------------------------------------

/** Goes to what the address names, which was drawn only now. */
function arrive() {
  const target = location.hash || (location.pathname.endsWith("/errors") ? "#problems" : "");
  if (!target) return;
  location.replace(target); // marks it as the :target
  at(target.slice(1))?.scrollIntoView({ behavior: "instant" });
}

async function start() {
  try {
    const answer = await fetch(ROOT + "openapi.json");
    if (!answer.ok) throw new Error(`/openapi.json answers ${answer.status}`);
    const described = await answer.json();
    at("about").textContent = described.info.description;
    drawOperations(described);
    drawProblems(described);
    drawSchemas(described);
    at("state").remove();
    arrive();
  } catch (error) {
    at("state").className = "failed";
    at("state").textContent = `The interface cannot be shown: ${error.message}. Load the page again.`;
  }
}

start();
