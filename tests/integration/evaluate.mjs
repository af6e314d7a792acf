/**
 * Node.js at the hands of a test. Each line of standard input is JSON, {script, values}: the body of an async function
 * and what it calls by name. Each line of standard output is what came of one, in the same order: {"value": …} or
 * {"error": {name, code, message}}.
 *
 * A script has all that is global, CrossWS among it once it is loaded, what is defined here, and an object "my" that
 * stays from one script to the next; what a client warns of is in its list "warnings".
 */
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import vm from "node:vm";

import { WireClient } from "./wire_client.mjs";

// Where Node.js has no WebSocket of its own, there is this package.
globalThis.WebSocket ??= createRequire(import.meta.url)("ws");

/** Load crossws.js as a page does: from the server that has it. */
async function load(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  vm.runInThisContext(await answer.text(), { filename: "crossws.js" });
}

/** Resolved with the value of a function as soon as that is true. */
async function until(find) {
  let value;
  while (!(value = find())) await new Promise((resolve) => setTimeout(resolve, 5));
  return value;
}

/** What happens to a client from now on, in lists of the event and its arguments. */
function follow(client) {
  const log = [];
  for (const event of ["open", "close", "error", "reconnect", "repeatLimit", "pong", "pongTimeout"]) {
    client.lifecycle.on(event, (...args) => log.push([event, ...args]));
  }
  return log;
}

const my = { warnings: [] };
console.warn = (...words) => my.warnings.push(words.join(" "));
const given = { my, load, until, follow, WireClient };
const AsyncFunction = (async () => {}).constructor;
const tell = (answer) => console.log(JSON.stringify(answer));
for await (const line of createInterface({ input: process.stdin })) {
  const { script, values } = JSON.parse(line);
  const names = { ...given, ...values };
  try {
    tell({ value: await new AsyncFunction(...Object.keys(names), script)(...Object.values(names)) });
  } catch ({ name, code, message }) {
    tell({ error: { name, code, message } });
  }
}
