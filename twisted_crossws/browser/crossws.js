/**
 * The client of twisted_crossws for browsers and Node.js: one file, no dependencies, no build step.
 *
 *     <script src="/crossws.js">   or   import "/crossws.js"   or   const CrossWS = require("./crossws.js")
 *
 *     const client = new CrossWS("ws://localhost:9000/chat", { params: { id: 16, name: "Sam" } });
 *     client.on("said", (payload) => console.log(payload));
 *     await client.connect();
 *     const reply = await client.call("say", { text: "hi" }, { timeout: 5000, onPending: showSpinner });
 *
 *     C→S  {"event": E, "payload": P}                       emit              (C client, S server, all of it JSON)
 *     C→S  {"event": E, "payload": P, "callbackId": I}      call
 *     S→C  {"payload": R, "callbackId": I}                  the reply to I
 *     S→C  {"callbackId": I, "error": {"code", "message"}}  the reply to I is an error
 *     S→C  {"event": E, "payload": P}                       an event for the listeners
 *     S→C  {"event": E, "payload": P, "ackId": I}           the same, and what a listener returns is the answer
 *     C→S  {"ackId": I, "payload": R}                       the answer to I
 *     C→S  {"ackId": I, "error": {"code", "message"}}       the answer to I is an error
 *     C→S  H          S→C  H                                heartbeat: the text pingMessage comes back as it is
 */
(() => {
  "use strict";

  const world = /** @type {any} */ (globalThis);

  /** The options and their defaults; all times are milliseconds. */
  const DEFAULTS = {
    /** Go into the URL's query; an array repeats its key, null is left out. @type {Record<string, any>} */ params: {},
    /** Between heartbeats; 0 turns them off. */ pingInterval: 10000,
    /** A heartbeat without an answer for so long ends the connection. */ pongTimeout: 2000,
    /** How many attempts to reconnect come quickly. */ fastReconnectThreshold: 3,
    /** The wait before each of these; later waits double from it. */ fastReconnectInterval: 3000,
    /** Never wait longer. */ reconnectMaxInterval: 120000,
    /** The heartbeat's text, as the server has it. */ pingMessage: "",
    /** How long a call waits for its reply. */ callTimeout: 5000,
    /** Give up after so many failed attempts to reconnect; null: never. @type {number | null} */ repeatLimit: Infinity,
    /** A call without a reply for so long is pending, see onPending. */ pendingAfter: 100,
    /** Whether to reconnect; an error counts as code 1006. @type {(code: number, reason: string) => boolean} */
    reconnectOn: (code) => ![4001, 4010, 4011, 4012].includes(code),
    /** Subprotocols, as for WebSocket. @type {string | string[] | undefined} */ protocols: undefined,
    /** The constructor to use; globalThis.WebSocket, unless given. @type {any} */ WebSocket: undefined,
    /** Gives a number from 0 to 1, for the jitter. */ random: Math.random,
  };

  /**
   * @typedef {(...args: any[]) => any} Listener One that throws is reported, and the next one runs.
   * @typedef {object} Listeners In the order in which they were added.
   * @property {(event: string, listener: Listener, tag?: any) => void} on Call it every time.
   * @property {(event: string, listener: Listener, tag?: any) => void} once Call it the first time only.
   * @property {(event: string, listenerOrTag?: any) => void} off Remove it, or all with that tag, or all of the event.
   * @typedef {object} CallOptions
   * @property {number} [timeout] Default: the option callTimeout.
   * @property {number} [pendingAfter] Default: the option of that name.
   * @property {(isPending: boolean) => void} [onPending] Called with true if there is no reply after pendingAfter, and
   *   then with false when the call ends, however it ends. Not called for a quick reply.
   */

  /** There is no connection now, so nothing was sent, or the connection ended before the reply came. */
  class NotConnected extends Error { name = "NotConnected"; }
  /** No reply came within the time-out of the call. */
  class CallTimeout extends Error { name = "CallTimeout"; }
  /**
   * The reply is an error: `code` is a short name for programs, `message` a sentence for people. A listener that throws
   * one answers the server with it; of anything else that it throws, the server is not told what it is.
   */
  class RemoteError extends Error {
    name = "RemoteError";
    constructor(code = "error", message = "") {
      super(message || code);
      this.code = code;
    }
  }

  /** @type {(what: string, isRight: boolean, kind: string) => void} */
  const check = (what, isRight, kind) => {
    if (!isRight) throw new TypeError(`CrossWS: ${what} must be ${kind}.`);
  };

  // setTimeout counts in 32 bits, and fires at once beyond.
  const checkNumber = (/** @type {string} */ what, /** @type {any} */ value) =>
    check(what, typeof value === "number" && value >= 0 && value < 2 ** 31, "a number from 0 to 2^31 - 1");

  const isText = (/** @type {unknown} */ value) => typeof value === "string";

  const checkEvent = (/** @type {any} */ event) =>
    check("an event", isText(event) && event !== "", "a non-empty string");

  /** @type {<T extends object>(given: object | null | undefined, defaults: T) => T} The defaults, overridden. */
  const configure = (given, defaults) => {
    const options = /** @type {any} */ ({ ...defaults });
    for (const [name, value] of Object.entries(given ?? {})) {
      const what = `the option "${name}"`;
      check(what, Object.hasOwn(defaults, name), "one of " + Object.keys(defaults).join(", "));
      if (value == null) continue;
      const kind = typeof options[name];
      if (kind === "number") checkNumber(what, value);
      else check(what, kind === "undefined" || typeof value === kind, "of type " + kind);
      options[name] = value;
    }
    return options;
  };

  /** @type {(url: string | URL, params: Record<string, any>) => string} The URL with everything in its query. */
  const address = (url, params) => {
    const full = new URL(url, world.location?.href);
    full.protocol = full.protocol.replace("http", "ws");
    for (const [name, values] of Object.entries(params)) {
      for (const value of [values].flat()) if (value != null) full.searchParams.append(name, value);
    }
    full.searchParams.set("crossws", "2");
    return full.href;
  };

  /** @typedef {(what: string, call: Listener, args: any[], isQuiet?: boolean) => any} Run */

  /** @type {(run: Run, isLifecycle?: boolean) => [Listeners, Listener]} */
  const listening = (run, isLifecycle) => {
    // The lists are never changed, only replaced: what a listener adds or removes counts from the next delivery on.
    /** @type {Record<string, [listener: Listener, tag: any, isOnce: boolean][]>} */
    const lists = Object.create(null);
    /** @type {(isOnce: boolean) => Listeners["on"]} */
    const adding = (isOnce) => (event, listener, tag) => {
      checkEvent(event);
      check("a listener", typeof listener === "function", "a function");
      lists[event] = [...(lists[event] ?? []), [listener, tag, isOnce]];
    };
    /** @type {Listeners["off"]} */
    const off = (event, which) => {
      lists[event] = lists[event]?.filter(([listener, tag]) => which != null && listener !== which && tag !== which);
    };
    /** @type {(event: string, ...args: any[]) => any[]} */
    const fire = (event, ...args) => {
      const now = lists[event] ?? [];
      lists[event] = now.filter(([, , isOnce]) => !isOnce);
      return now.map(([listener]) => run(`a listener of "${event}"`, listener, args, isLifecycle && event === "error"));
    };
    return [{ on: adding(false), once: adding(true), off }, fire];
  };

  /** A connection that comes back by itself, with events both ways and calls with replies. */
  class CrossWS {
    static NotConnected = NotConnected;
    static CallTimeout = CallTimeout;
    static RemoteError = RemoteError;

    /**
     * What happens to the connection: open(), close(code, reason), error(error), reconnect(attempt, delay) when an
     * attempt is scheduled, repeatLimit(limit), ping(), pong(latency), pongTimeout(), and message(text) for every
     * text but the heartbeat's answer. @type {Listeners}
     */
    lifecycle;
    /**
     * Call a listener with the payload, every time the event comes. Where the server asks, what it returns, or its
     * promise resolves to, is the answer: the first of several. @type {Listeners["on"]}
     */
    on;
    /** As on(), but the first time only. @type {Listeners["once"]} */
    once;
    /** Remove that listener, or all with that tag, or without either all of the event. @type {Listeners["off"]} */
    off;
    #url; #options; #deliver; #fire;
    #socket = /** @type {any} */ (null); // what comes late from an earlier one is ignored
    #retryTimer = /** @type {any} */ (null); // set while waiting for the next attempt
    #retry = () => this.reconnect();
    #attempt = 0;
    #isReconnecting = false;
    #waiting = /** @type {[resolve: () => void, reject: (error: unknown) => void][]} */ ([]); // for connect()
    #calls = /** @type {Map<string, (error: Error | null, reply?: any) => void>} */ (new Map()); // what ends them
    #callCount = Math.floor(Math.random() * 2 ** 48); // a page that is loaded again shall not get an older reply
    #pingTimer = /** @type {any} */ (null);
    #pongTimer = /** @type {any} */ (null); // set while a heartbeat waits for its answer
    #pingedAt = 0;
    #latency = /** @type {number | null} */ (null);

    /**
     * @param {string | URL} url ws: or wss:; in a page also relative to it.
     * @param {Partial<typeof DEFAULTS>} [options]
     * @throws {TypeError} The URL is none, or there is no such option, or its value is of the wrong type.
     */
    constructor(url, options) {
      this.#options = configure(options, DEFAULTS);
      this.#options.WebSocket ??= world.WebSocket;
      if (!this.#options.WebSocket) throw new Error('CrossWS needs the option "WebSocket".');
      this.#url = address(url, this.#options.params);
      /** @type {Run} */
      const run = (...args) => this.#run(...args);
      [{ on: this.on, once: this.once, off: this.off }, this.#deliver] = listening(run);
      [this.lifecycle, this.#fire] = listening(run, true);
    }

    /** Whether events and calls can be sent now. */
    get isConnected() { return this.#socket?.readyState === 1; }
    /** From the loss of a connection, or reconnect(), until the next one is open, or it is given up. */
    get isReconnecting() { return this.#isReconnecting; }
    /** How long this connection's last heartbeat took, in milliseconds; null before its first answer. */
    get latency() { return this.#latency; }
    /** Milliseconds between heartbeats; 0: none. */
    get pingInterval() { return this.#options.pingInterval; }
    set pingInterval(interval) { this.setPingInterval(interval); }

    /** Set pingInterval; immediate: with a heartbeat now. @type {(interval: number, immediate?: boolean) => void} */
    setPingInterval(interval, immediate) {
      checkNumber("pingInterval", interval);
      this.#options.pingInterval = interval;
      this.#heartbeat(immediate);
    }

    /** Send an event; throws NotConnected. @type {(event: string, payload?: any) => void} */
    emit(event, payload) {
      const text = this.#encode({ event, payload });
      this.#socket.send(text);
    }

    /**
     * Send an event, for the payload of its reply; rejected with NotConnected, CallTimeout or RemoteError.
     * @type {(event: string, payload?: any, options?: CallOptions) => Promise<any>}
     */
    call(event, payload, options) {
      return new Promise((resolve, reject) => {
        const { callTimeout: timeout, pendingAfter } = this.#options;
        const own = configure(options, { timeout, pendingAfter, onPending: (/** @type {boolean} */ _) => {} });
        const callbackId = (++this.#callCount).toString(36);
        const text = this.#encode({ event, payload, callbackId });
        let isPending = false;
        const tell = (/** @type {boolean} */ value) => this.#run("onPending", own.onPending, [(isPending = value)]);
        const pendingTimer = setTimeout(() => tell(true), own.pendingAfter);
        const tooLate = () => end(new CallTimeout(`No reply to "${event}" came in ${own.timeout} ms.`));
        const timer = setTimeout(tooLate, own.timeout);
        const end = (/** @type {Error | null} */ error, /** @type {any} */ reply = null) => {
          clearTimeout(pendingTimer);
          clearTimeout(timer);
          this.#calls.delete(callbackId);
          if (isPending) tell(false);
          error ? reject(error) : resolve(reply);
        };
        this.#calls.set(callbackId, end);
        this.#socket.send(text);
      });
    }

    /**
     * Connect, unless that is done or under way. Resolved when it is open, even if that takes several attempts;
     * rejected with NotConnected when it is given up: by close(), at repeatLimit, or after a close code that is final.
     */
    connect() {
      /** @type {Promise<void>} */
      const opened = new Promise((resolve, reject) => this.#waiting.push([resolve, reject]));
      // Who does not look at the promise has the lifecycle; Node.js would end the process otherwise.
      opened.catch(() => {});
      if (this.isConnected) this.#settle();
      else if (!this.#socket && !this.#retryTimer) {
        this.#attempt = 0;
        this.#open();
      }
      return opened;
    }

    /** Drop the connection, if any, and connect now; reset: count attempts from 0. @type {(reset?: boolean) => void} */
    reconnect(reset) {
      if (reset) this.#attempt = 0;
      this.#end(1000, "reconnecting", () => {
        this.#isReconnecting = true;
        this.#open();
      });
    }

    /** Close with code 4001, and stay closed until connect() or reconnect(). */
    close() {
      const reason = "The client closed the connection.";
      this.#end(4001, reason, () => this.#settle(new NotConnected(reason)));
    }

    #open() {
      const { WebSocket, protocols } = this.#options;
      try {
        const socket = (this.#socket = new WebSocket(this.#url, protocols));
        /** @type {(handle: Listener) => Listener} */
        const own = (handle) => (event) => socket === this.#socket && handle(event);
        socket.onopen = own(() => {
          this.#attempt = 0;
          this.#settle();
          this.#heartbeat();
          this.#fire("open");
        });
        socket.onmessage = own(({ data }) => this.#received(data));
        socket.onclose = own(({ code, reason }) => this.#lost(code, reason));
        // Not every WebSocket fires "close" after "error".
        socket.onerror = own(({ error }) => this.#lost(1006, "", ["error", error ?? new Error("The socket failed.")]));
      } catch (error) {
        // The page may not connect there, or no WebSocket takes the URL: another attempt would end in the same.
        this.#settle(error);
        this.#fire("error", error);
      }
    }

    /** Done with connect(). @param {unknown} [error] Why it is given up; without it, the connection is open. */
    #settle(error) {
      this.#isReconnecting = false;
      for (const [resolve, reject] of this.#waiting.splice(0)) error ? reject(error) : resolve();
    }

    /** It ended by itself. @type {(code: number, reason: string, cause?: [string, ...any]) => void} */
    #lost(code, reason, cause) {
      const { reconnectOn, repeatLimit, random, ...times } = this.#options;
      let isWanted = /** @type {any} */ (false);
      this.#run("reconnectOn", () => { isWanted = reconnectOn(code, reason); }, []);
      const isOver = isWanted && this.#attempt >= /** @type {number} */ (repeatLimit);
      const doublings = this.#attempt + 1 - times.fastReconnectThreshold;
      // Beyond 2^64 the product is longer than any limit, and would be infinite in the end.
      const factor = doublings > 0 ? 2 ** Math.min(doublings, 64) + random() : 1;
      // A server that is being restarted says when to come back, in seconds.
      const hint = code === 1012 && /\bretry-after=(\d+(\.\d+)?)/.exec(reason);
      const wait = hint ? Math.min(+hint[1] * 1000, 60000) : times.fastReconnectInterval * factor;
      const delay = Math.min(wait, times.reconnectMaxInterval);
      const next = () => {
        if (!isWanted || isOver) return this.#settle(new NotConnected(`The connection ended: ${code} ${reason}`));
        this.#isReconnecting = true;
        this.#attempt++;
        this.#retryTimer = setTimeout(this.#retry, delay);
        world.addEventListener?.("online", this.#retry);
      };
      this.#end(code, reason, next, cause);
      if (isOver) this.#fire("repeatLimit", repeatLimit);
      // A listener of "close" may have called close() or reconnect().
      else if (this.#retryTimer) this.#fire("reconnect", this.#attempt, delay);
    }

    // Whatever ends a connection or a wait. The state is set first: who is told then may call any method.
    /** @type {(code: number, reason: string, next: () => void, cause?: [string, ...any]) => void} */
    #end(code, reason, next, cause) {
      const socket = this.#socket;
      this.#socket = this.#latency = null;
      this.#retryTimer = clearTimeout(this.#retryTimer);
      world.removeEventListener?.("online", this.#retry);
      this.#heartbeat();
      // A WebSocket refuses to send most codes below 3000.
      if (socket?.readyState < 3) socket.close(code < 3000 ? 1000 : code, reason);
      next();
      for (const end of this.#calls.values()) end(new NotConnected("The connection ended."));
      if (cause) this.#fire(...cause);
      if (socket) this.#fire("close", code, reason);
    }

    /** The next one after pingInterval, if there is one. @param {boolean} [now] One now, unless one is unanswered. */
    #heartbeat(now) {
      const { pingInterval, pingMessage, pongTimeout } = this.#options;
      clearTimeout(this.#pingTimer);
      if (!this.#socket?.readyState || !pingInterval) {
        this.#pongTimer = clearTimeout(this.#pongTimer);
        return;
      }
      this.#pingTimer = setTimeout(() => this.#heartbeat(true), pingInterval);
      if (!now || this.#pongTimer) return;
      const silent = () => this.#lost(4002, "No heartbeat answer came in time.", ["pongTimeout"]);
      this.#pongTimer = setTimeout(silent, pongTimeout);
      this.#pingedAt = performance.now();
      this.#socket.send(pingMessage);
      this.#fire("ping");
    }

    // Events that start and end with "_" are the protocol's own.
    /** @param {unknown} text */
    #received(text) {
      if (text === this.#options.pingMessage) {
        if (!this.#pongTimer) return;
        this.#pongTimer = clearTimeout(this.#pongTimer);
        this.#latency = performance.now() - this.#pingedAt;
        this.#fire("pong", this.#latency);
        return;
      }
      if (!isText(text)) return;
      this.#fire("message", text);
      let frame;
      try { frame = JSON.parse(text) ?? {}; } catch { return; }
      const { event, payload = null, callbackId, ackId, error } = frame;
      if (isText(callbackId)) {
        this.#calls.get(callbackId)?.(error && new RemoteError(error.code, error.message), payload);
      } else if (isText(event) && !/^_(.*_)?$/s.test(event)) {
        const socket = this.#socket;
        const results = this.#deliver(event, payload);
        if (isText(ackId)) this.#answer(socket, ackId, results);
      }
    }

    // The first result that is one; null if there is none; an error if a listener failed and none gave a result. To the
    // server another connection is another client, so what comes too late for this one is dropped.
    /** @type {(socket: any, ackId: string, results: any[]) => Promise<void>} */
    async #answer(socket, ackId, results) {
      let payload = null;
      let fault = /** @type {any} */ (null);
      for (const result of results) {
        try {
          const value = /** @type {any} */ (payload ?? (await result) ?? null);
          // It is a failure, too, if it cannot be sent.
          JSON.stringify(value);
          payload = value;
        } catch (error) { fault ??= error; }
      }
      const { code, message } = fault instanceof RemoteError ? fault : new RemoteError("internal_error", "It failed.");
      const answer = fault && payload === null ? { ackId, error: { code, message } } : { ackId, payload };
      if (socket.readyState === 1) socket.send(JSON.stringify(answer));
    }

    /** @param {{ event: string, payload: any, callbackId?: string }} frame */
    #encode(frame) {
      checkEvent(frame.event);
      if (!this.isConnected) throw new NotConnected(`"${frame.event}" was not sent.`);
      return JSON.stringify(frame);
    }

    // What the application gave is called here: its failures, late ones too, are told, and harm nobody.
    /** @type {Run} */
    #run(what, call, args, isQuiet) {
      const failed = (/** @type {unknown} */ error) => {
        console.error(`CrossWS: ${what} failed.`, error);
        if (!isQuiet) this.#fire("error", error);
      };
      try {
        const result = call(...args);
        result?.then?.(null, failed);
        return result;
      } catch (error) {
        failed(error);
        // As a promise that is rejected, but nobody need look at it.
        return { then: (/** @type {any} */ _, /** @type {Listener} */ rejected) => rejected(error) };
      }
    }
  }

  world.CrossWS = CrossWS;
  if (typeof module === "object") module.exports = CrossWS;
})();
