/**
 * The page of the chat: shows a Session, and passes on what the person does. Whatever people wrote goes into the page
 * as text, never as markup.
 */

import { LATENCIES, Session } from "./session.js";

const $ = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

/** Degrees between two colours, so that neighbours differ well. */
const GOLDEN_ANGLE = 137.508;

/** Messages of one person stand together if they are not further apart than this, in milliseconds. */
const TOGETHER = 5 * 60_000;

/** From how many characters left on it is said how many. */
const NEARLY_FULL = 200;

// The address may say otherwise, in milliseconds: ?retry=300&ping=1000.
const wanted = new URLSearchParams(location.search);
const session = new Session({
  fastReconnectInterval: Number(wanted.get("retry")) || 3000,
  reconnectMaxInterval: 20_000,
  pingInterval: Number(wanted.get("ping")) || 5000,
});

/** An element: its attributes, then its children; a string becomes text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const span = (className, ...children) => element("span", { class: className }, ...children);

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Initials on a colour that is always the same for the same name. */
function paintTile(tile, name) {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const letters = [words[0], words[1]].filter(Boolean).map((word) => [...word][0]);
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 1_000_000;
  tile.textContent = letters.join("").toUpperCase();
  tile.style.setProperty("--hue", (hash * GOLDEN_ANGLE) % 360);
  return tile;
}

const tile = (name) => paintTile(element("span", { class: "tile", "aria-hidden": "true" }), name);

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

// The door ------------------------------------------------------------------------------------------------------------

function roomOfAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)).trim().slice(0, 32) || "lobby";
  } catch {
    return "lobby";
  }
}

/** Ready to write; but on a touch screen that would bring up the keyboard. */
function focusComposer() {
  if (matchMedia("(pointer: fine)").matches) $("text").focus();
}

function showDoor() {
  $("chat").hidden = true;
  $("door").hidden = false;
  $("problem").textContent = session.problem;
  $("name").value = session.name || sessionStorage.getItem("name") || "";
  $("first-room").value = session.room || roomOfAddress();
  $("name").focus();
}

function comeIn(name, room) {
  sessionStorage.setItem("name", name);
  $("door").hidden = true;
  $("chat").hidden = false;
  $("my-name").textContent = name;
  paintTile($("my-tile"), name);
  session.start(name, room);
  showLog();
  focusComposer();
}

$("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [name, room] = [$("name").value.trim(), $("first-room").value.trim()];
  if (name && room) comeIn(name, room);
  else $("problem").textContent = "Please fill in both fields.";
});

$("rename").addEventListener("click", () => {
  sessionStorage.removeItem("name");
  closePanels();
  session.leave();
});

// Rooms and people ----------------------------------------------------------------------------------------------------

function closePanels() {
  for (const panel of document.querySelectorAll(".panel:popover-open")) panel.hidePopover();
}

function goTo(room) {
  closePanels();
  session.change(room);
  focusComposer();
}

function showRooms() {
  const counts = new Map(session.rooms);
  if (!counts.has(session.room)) counts.set(session.room, session.here.length);
  const focused = document.activeElement?.closest("#room-list button")?.dataset.room;
  $("room-list").replaceChildren(...Array.from(counts, ([room, count]) => roomItem(room, count)));
  if (focused != null) $("room-list").querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
}

function roomItem(room, count) {
  const button = element(
    "button",
    { "aria-current": room === session.room ? "true" : null },
    element("span", { class: "stop", "aria-hidden": "true" }),
    element("bdi", { class: "name" }, room),
    span("count", count ? String(count) : "", span("unseen", count ? " here" : "")),
  );
  button.dataset.room = room;
  button.addEventListener("click", () => goTo(room));
  return element("li", {}, button);
}

function showRoomName() {
  $("room-name").textContent = session.room;
  $("text").placeholder = `Message to ${session.room}`;
  const hash = `#${encodeURIComponent(session.room)}`;
  $("address").textContent = location.origin + location.pathname + hash;
  if (roomOfAddress() !== session.room || !location.hash) history.pushState(null, "", hash);
  showTitle();
  showRooms();
}

function showPeople() {
  const { here, name, state } = session;
  $("room-count").textContent = state === "open" && here.length ? `${here.length} here` : "";
  const people = here.map((each) =>
    element("li", {}, tile(each), element("bdi", { class: "name" }, each), each === name ? span("you", "you") : ""),
  );
  const unknown = element("li", { class: "hint" }, "Unknown until the connection is back.");
  $("people-list").replaceChildren(...(state === "waiting" ? [unknown] : people));
}

$("room-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const room = $("new-room").value.trim();
  $("new-room").value = "";
  if (room) goTo(room);
});

addEventListener("popstate", () => session.state !== "out" && session.change(roomOfAddress()));

// The log -------------------------------------------------------------------------------------------------------------

/** The items of the log in the page, by message. */
const items = new Map();
let isAtEnd = true;
let unseen = 0;

function showLog() {
  items.clear();
  $("scroller").ariaBusy = "true";
  $("messages").replaceChildren(...session.log.map((entry, index) => item(entry, session.log[index - 1])));
  $("scroller").ariaBusy = "false";
  $("empty").hidden = session.log.length > 0;
  toEnd();
}

function showAdded({ detail: entry }) {
  const { log } = session;
  $("messages").append(item(entry, log[log.indexOf(entry) - 1]));
  while ($("messages").children.length > log.length) $("messages").firstChild.remove();
  $("empty").hidden = true;
  const isMine = entry.name === session.name;
  if (isAtEnd || isMine) toEnd();
  if (!entry.note && !isMine && (!isAtEnd || document.hidden)) unseen += 1;
  showUnseen();
}

function item(entry, before) {
  if (entry.note) return element("li", { class: "note" }, entry.note);
  const isMine = entry.name === session.name;
  const follows = before && before.name === entry.name && entry.time - before.time < TOGETHER;
  const made = element("li", { class: `message ${isMine ? "mine" : "theirs"} ${follows ? "follows" : ""}` });
  const by = span(isMine || follows ? "unseen" : "by", element("bdi", {}, isMine ? "You" : entry.name));
  const bubble = element("div", { class: "bubble", dir: "auto" }, span("words", entry.text), span("meta"));
  made.append(isMine || follows ? "" : tile(entry.name), by, bubble);
  items.set(entry, made);
  showMarks(entry);
  return made;
}

const MARKS = {
  pending: ["ring", "Sending"],
  delivered: ["tick", "Delivered"],
  failed: ["fault", "Not sent"],
};

/** The time of a message and, of an own one, what has become of it. */
function showMarks(entry) {
  const made = items.get(entry);
  if (!made) return;
  const [sign, words] = MARKS[entry.state] ?? [];
  made.dataset.state = entry.state ?? "";
  const time = element("time", { datetime: new Date(entry.time).toISOString() }, clock.format(entry.time));
  const mark = sign ? element("span", { class: "mark", title: words }, icon(sign), span("unseen", words)) : "";
  made.querySelector(".meta").replaceChildren(time, mark);
  made.querySelector(".failure")?.remove();
  if (entry.state === "failed") made.append(failure(entry));
}

function failure(entry) {
  const why = entry.why === "offline" ? "Not sent yet: there is no connection." : `Not sent. ${entry.why}`;
  const retry = element("button", { class: "link" }, "Try again");
  retry.addEventListener("click", () => session.send(entry));
  return element("p", { class: "failure" }, why, " ", retry);
}

function toEnd() {
  isAtEnd = true;
  $("scroller").scrollTop = $("scroller").scrollHeight;
}

function showUnseen() {
  if (isAtEnd && !document.hidden) unseen = 0;
  $("newer").hidden = isAtEnd;
  $("newer").querySelector("span").textContent = unseen ? plural(unseen, "new message", "new messages") : "Latest";
  showTitle();
}

function showTitle() {
  document.title = `${unseen ? `(${unseen}) ` : ""}${session.room ? `${session.room} · ` : ""}Crossing`;
}

$("scroller").addEventListener("scroll", () => {
  const { scrollHeight, scrollTop, clientHeight } = $("scroller");
  isAtEnd = scrollHeight - scrollTop - clientHeight < 40;
  showUnseen();
});
const resizes = new ResizeObserver(() => isAtEnd && toEnd());
resizes.observe($("scroller"));
resizes.observe($("messages"));
$("newer").addEventListener("click", () => (toEnd(), showUnseen(), $("text").focus()));
document.addEventListener("visibilitychange", showUnseen);

// Writing -------------------------------------------------------------------------------------------------------------

function fitComposer() {
  const text = $("text");
  const left = text.maxLength - text.value.length;
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
  $("left").textContent = left < NEARLY_FULL ? `${left} left` : "";
}

$("text").addEventListener("input", fitComposer);
$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text) session.say(text);
  $("text").value = "";
  fitComposer();
});

// The connection ------------------------------------------------------------------------------------------------------

const SIGNALS = { connecting: "Connecting", open: "Connected", waiting: "Disconnected", over: "Taken over" };
let countdown;

function showState() {
  const { state } = session;
  clearInterval(countdown);
  if (state === "out") return showDoor();
  $("signal").dataset.state = state;
  $("signal-text").textContent = SIGNALS[state];
  $("banner").hidden = state !== "waiting" && state !== "over";
  $("retry-now").textContent = state === "over" ? "Use it here" : "Try now";
  if (state === "waiting") countdown = setInterval(showBanner, 250);
  showBanner();
  showPeople();
}

function showBanner() {
  const seconds = Math.ceil((session.attemptAt - performance.now()) / 1000);
  const next = seconds > 0 ? `Next try in ${seconds} s.` : "Trying now …";
  const isOver = session.state === "over";
  $("banner-text").textContent = isOver ? "This name is in use in another tab." : `The connection is lost. ${next}`;
}

function showLatency() {
  const { latencies } = session;
  const latest = latencies.at(-1);
  $("latency").textContent = latest == null ? "" : `${latest < 10 ? latest.toFixed(1) : Math.round(latest)} ms`;
  const highest = Math.max(5, ...latencies);
  const bar = (index, height) => `M${3 * (LATENCIES - index) - 1.5} 16v-${height}`;
  const bars = latencies.toReversed().map((latency, index) => bar(index, Math.max(2, (latency / highest) * 16)));
  $("latencies").querySelector(".bars").setAttribute("d", bars.join(""));
  const scale = Array.from({ length: LATENCIES }, (_, index) => bar(index, 2));
  $("latencies").querySelector(".scale").setAttribute("d", scale.join(""));
}

$("retry-now").addEventListener("click", () => session.retry());

session.addEventListener("state", showState);
session.addEventListener("latencies", showLatency);
session.addEventListener("rooms", showRooms);
session.addEventListener("here", showPeople);
session.addEventListener("room", showRoomName);
session.addEventListener("log", showLog);
session.addEventListener("added", showAdded);
session.addEventListener("marked", ({ detail: entry }) => showMarks(entry));

const name = sessionStorage.getItem("name");
if (name) comeIn(name, roomOfAddress());
else showDoor();
