/**
 * One person's side of the chat: the conversation with the server. It knows nothing of the page. Whoever shows it
 * reads its attributes, and listens to events of their names, fired when they have changed; "added" and "marked" tell
 * of a single message.
 *
 *     C→S  enter {name, room}      reply {history: [message…]}
 *     C→S  say   {id, text}        reply: the message
 *     S→C  said  {room, message}   message = {id, name, text, time}
 *     S→C  here  {room, names}
 *     S→C  rooms [[room, count]…]
 */

/** How many messages of a room stay in the page. */
const LOG_LENGTH = 500;

/** How many heartbeats one can look back. */
export const LATENCIES = 24;

/** Milliseconds until it is said of somebody that they left: who only reloads the page is back before. */
const GRACE = 1500;

// Not crypto.randomUUID(): it is missing from pages that came without TLS.
const randomId = () => crypto.getRandomValues(new Uint32Array(3)).join("-");

/** The secret of this tab, by which it gets its name back. It outlives a reload. */
function tabKey() {
  const key = sessionStorage.getItem("tab") ?? randomId();
  sessionStorage.setItem("tab", key);
  return key;
}

export class Session extends EventTarget {
  /**
   * out: without a name; connecting; open; waiting for the next attempt to connect; over: another tab has the name.
   */
  state = "out";
  /** Why the state is "out", if the server wanted it so. */
  problem = "";
  name = "";
  room = "";
  /** Who is in the room. */
  here = [];
  /** Pairs of a name and how many are there. */
  rooms = [];
  /** Milliseconds, the newest last. */
  latencies = [];
  /** While waiting: the number of the next attempt, and when it comes, as performance.now(). */
  attempt = 0;
  attemptAt = 0;

  #client;
  #logs = new Map();
  /** Whom the log says to be here, and the timer after which it says who left. */
  #announced = null;
  #leaving = null;

  /** @param {object} options Of CrossWS. */
  constructor(options) {
    super();
    const client = (this.#client = new CrossWS("/", { ...options, params: { tab: tabKey() } }));
    client.lifecycle.on("open", () => this.#opened());
    client.lifecycle.on("reconnect", (attempt, delay) => this.#waits(attempt, delay));
    client.lifecycle.on("close", (code) => code === 4012 && this.#set({ state: "over", here: [] }));
    client.lifecycle.on("pong", (latency) => this.#set({ latencies: [...this.latencies, latency].slice(-LATENCIES) }));
    client.on("rooms", (rooms) => this.#set({ rooms }));
    client.on("here", ({ room, names }) => room === this.room && this.#sees(names));
    client.on("said", ({ room, message }) => this.#add(room, message));
  }

  /** What happened in the room: messages {id, name, text, time, state?, why?}, and notes {note, time}. */
  get log() {
    return this.#log(this.room);
  }

  /** Take a name and a place in a room. */
  start(name, room) {
    this.#set({ name, room, problem: "", state: "connecting" });
    this.#client.connect();
  }

  /** Give the name up. */
  leave(problem = "") {
    this.#client.close();
    this.#forgetWhoIsHere();
    this.#logs.clear();
    this.#set({ problem, latencies: [], state: "out" });
  }

  /** Go to another room. */
  change(room) {
    if (room === this.room) return;
    this.#forgetWhoIsHere();
    this.#set({ room });
    this.dispatchEvent(new Event("log"));
    if (this.#client.isConnected) this.#enter();
  }

  /** Connect now, instead of waiting for the next attempt. */
  retry() {
    this.#set({ state: "connecting" });
    this.#client.reconnect();
  }

  /** Say something to the room. */
  say(text) {
    const message = { id: randomId(), name: this.name, text, time: Date.now() };
    this.#add(this.room, message);
    this.send(message);
  }

  /** Send a message, perhaps once more: by its id the server knows whether it has it already. */
  async send(message) {
    this.#mark(message, { state: "pending", why: "" });
    try {
      if (this.state !== "open") throw new CrossWS.NotConnected();
      const { time } = await this.#client.call("say", { id: message.id, text: message.text });
      this.#mark(message, { state: "delivered", time });
    } catch (error) {
      this.#mark(message, { state: "failed", why: error.name === "NotConnected" ? "offline" : error.message });
    }
  }

  #opened() {
    this.#client.setPingInterval(this.#client.pingInterval, true);
    this.#enter();
  }

  async #enter() {
    const { name, room } = this;
    try {
      const { history } = await this.#client.call("enter", { name, room });
      if (room === this.room) this.#entered(history);
    } catch (error) {
      if (error.name === "RemoteError") this.leave(error.message);
      else if (error.name === "CallTimeout") this.#client.reconnect();
    }
  }

  #entered(history) {
    const known = new Map(this.log.map((each) => [`${each.id} ${each.name}`, each]));
    for (const message of history) {
      if (message.name === this.name) message.state = "delivered";
      const mine = known.get(`${message.id} ${message.name}`);
      if (mine) Object.assign(mine, message);
      else this.log.push(message);
    }
    this.log.sort((a, b) => a.time - b.time);
    this.#set({ state: "open" });
    this.dispatchEvent(new Event("log"));
    for (const message of this.log) if (message.why === "offline") this.send(message);
  }

  #waits(attempt, delay) {
    this.#forgetWhoIsHere();
    this.#set({ attempt, attemptAt: performance.now() + delay, state: "waiting", latencies: [] });
  }

  #sees(names) {
    this.#set({ here: names });
    const known = this.#announced ?? names;
    for (const name of names) if (!known.includes(name)) this.#add(this.room, { note: `${name} came in` });
    this.#announced = [...new Set([...known, ...names])];
    this.#leaving ??= setTimeout(() => this.#announceWhoLeft(), GRACE);
  }

  #announceWhoLeft() {
    for (const name of this.#announced) {
      if (!this.here.includes(name)) this.#add(this.room, { note: `${name} left` });
    }
    this.#announced = this.here;
    this.#leaving = null;
  }

  #forgetWhoIsHere() {
    clearTimeout(this.#leaving);
    this.#leaving = this.#announced = null;
    this.#set({ here: [] });
  }

  #log(room) {
    if (!this.#logs.has(room)) this.#logs.set(room, []);
    return this.#logs.get(room);
  }

  #add(room, entry) {
    const log = this.#log(room);
    entry.time ??= Date.now();
    log.push(entry);
    if (log.length > LOG_LENGTH) log.shift();
    if (room === this.room) this.dispatchEvent(new CustomEvent("added", { detail: entry }));
  }

  #mark(message, marks) {
    Object.assign(message, marks);
    this.dispatchEvent(new CustomEvent("marked", { detail: message }));
  }

  #set(attributes) {
    Object.assign(this, attributes);
    for (const name of Object.keys(attributes)) this.dispatchEvent(new Event(name));
  }
}
