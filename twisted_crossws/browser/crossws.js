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
  const world = /** @type {any} */ (globalThis);

  /** The options and their defaults; all times are milliseconds. */
  const DEFAULTS = {
    /** Go into the URL's query; an array repeats its key, null is left out. @type {Record<string, any>} */ params: {},
    /** How long an attempt to connect may take; 0: as long as it likes. */ connectTimeout: 10000,
    /** connect() fails after so many attempts that failed in a row. */ attempts: Infinity,
    /** Between heartbeats; 0 turns them off. */ pingInterval: 10000,
    /** A heartbeat without an answer for so long ends the connection. */ pongTimeout: 2000,
    /** How many attempts to reconnect come quickly. */ fastReconnectThreshold: 3,
    /** The longest wait before each of these; later waits double from it. */ fastReconnectInterval: 3000,
    /** Never wait longer. */ reconnectMaxInterval: 120000,
    /** The heartbeat's text, as the server has it. */ pingMessage: "",
    /** How long a call waits for its reply. */ callTimeout: 5000,
    /** Give up after so many failed attempts to reconnect; null: never. @type {number | null} */ repeatLimit: Infinity,
    /** A call without a reply for so long is pending, see onPending. */ pendingAfter: 100,
    /** Whether to reconnect; an error counts as code 1006. @type {(code: number, reason: string) => boolean} */
    reconnectOn: (code) => code !== 4001 && (code < 4010 || code > 4012),
    /** Subprotocols, as for WebSocket. @type {string | string[] | undefined} */ protocols: undefined,
    /** The constructor to use; globalThis.WebSocket, unless given. @type {any} */ WebSocket: undefined,
    /** Gives a number from 0 to 1, for the jitter. */ random: Math.random,
  };

  const LIFECYCLE = "open close error unreachable reconnect repeatLimit ping pong pongTimeout message".split(" ");

  /** Where a browser tells that a page is put aside and shown again. */
  const PAGE_EVENTS = ["online", "freeze", "resume", "pagehide", "pageshow"];

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

  /** @type {(what: string, isRight: any, kind: string) => void} */
  const check = (what, isRight, kind) => {
    if (!isRight) throw new TypeError(`CrossWS: ${what} must be ${kind}.`);
  };

  // setTimeout counts in 32 bits, and fires at once beyond.
  const checkNumber = (/** @type {string} */ what, /** @type {any} */ value) =>
    check(what, typeof value === "number" && value >= 0 && value < 2 ** 31, "a number from 0 to 2^31 - 1");

  /** @type {(what: string, name: string, names: string[]) => void} */
  const checkName = (what, name, names) => check(what, names.includes(name), "one of " + names.join(", "));

  const isText = (/** @type {unknown} */ value) => typeof value === "string";

  const checkEvent = (/** @type {any} */ event) => check("an event", event && isText(event), "a non-empty string");

  /** @type {<T extends object>(given: object | null | undefined, defaults: T) => T} The defaults, overridden. */
  const configure = (given, defaults) => {
    const options = /** @type {any} */ ({ ...defaults });
    for (const [name, value] of Object.entries(given ?? {})) {
      const what = `the option "${name}"`;
      checkName(what, name, Object.keys(defaults));
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
    const { searchParams } = full;
    full.protocol = full.protocol.replace("http", "ws");
    for (const [name, values] of Object.entries(params)) {
      for (const value of [values].flat()) if (value != null) searchParams.append(name, value);
    }
    searchParams.set("crossws", "2");
    return full.href;
  };

  /** @type {(frame: object) => string} Throws TypeError where JSON has no form for what is in it. */
  const encode = (frame) =>
    JSON.stringify(frame, (_, value) => {
      const tag = {}.toString.call(value);
      // JSON would make {} of these, or an object of numbers, without a word.
      const isLost = /(Map|Set|Buffer|View|\w+Array|Blob|File|Promise)]$/.test(tag);
      check("a payload", !isLost, "JSON, which has no " + tag);
      return value;
    });

  /** @typedef {(what: string, call: Listener, args: any[], isQuiet?: boolean) => any} Run */

  /** @type {(run: Run, names?: string[]) => [Listeners, Listener]} Of all events, or of those that there are. */
  const listening = (run, names) => {
    // The list is never changed, only replaced: what a listener adds or removes counts from the next delivery on.
    let all = /** @type {[event: string, listener: Listener, tag: any, isOnce: boolean][]} */ ([]);
    /** @type {(isOnce: boolean) => Listeners["on"]} */
    const adding = (isOnce) => (event, listener, tag) => {
      checkEvent(event);
      if (names) checkName("an event", event, names);
      check("a listener", typeof listener === "function", "a function");
      all = [...all, [event, listener, tag, isOnce]];
    };
    /** @type {Listeners["off"]} */
    const off = (event, which) => {
      all = all.filter(
        ([own, listener, tag]) => own !== event || (which != null && listener !== which && tag !== which),
      );
    };
    /** @type {(event: string, ...args: any[]) => any[]} */
    const fire = (event, ...args) => {
      const now = all.filter(([own]) => own === event);
      all = all.filter(([own, , , isOnce]) => !isOnce || own !== event);
      return now.map(([, listener]) => run(`a listener of "${event}"`, listener, args, names && event === "error"));
    };
    return [{ on: adding(false), once: adding(true), off }, fire];
  };

  /** A connection that comes back by itself, with events both ways and calls with replies. */
  class CrossWS {
    static NotConnected = NotConnected;
    static CallTimeout = CallTimeout;
    static RemoteError = RemoteError;

    /**
     * @param {string | URL} url ws: or wss:; in a page also relative to it.
     * @param {Partial<typeof DEFAULTS>} [given]
     * @throws {TypeError} The URL is none, or there is no such option, or its value is of the wrong type.
     */
    constructor(url, given) {
      // Of these, pingInterval can be set later.
      let {
        params, protocols, WebSocket = world.WebSocket, connectTimeout, attempts, callTimeout, pendingAfter,
        pingInterval, pongTimeout, pingMessage, repeatLimit, reconnectOn, random,
        fastReconnectThreshold, fastReconnectInterval, reconnectMaxInterval,
      } = configure(given, DEFAULTS);
      check('the option "WebSocket"', WebSocket, "given");
      const href = address(url, params);

      /** @type {any} What comes late from an earlier one is ignored. */
      let socket;
      /** @type {any} It ends the attempt while there is a socket, and the wait for the next while there is none. */
      let timer;
      /** @type {any} Set while a heartbeat waits for its answer. */
      let pongTimer;
      /** @type {any} */
      let pingTimer;
      let pingedAt = 0;
      let latency = /** @type {number | null} */ (null);
      let attempt = 0;
      let failures = 0; // attempts in a row that never were open
      let wasOpen = false; // the present socket, or the last
      let isReconnecting = false;
      let isAsleep = false; // closed until the page is shown again
      let callCount = Math.floor(Math.random() * 2 ** 48); // a page that is loaded again shall not get an older reply
      /** @type {Map<string, (error: Error | null, reply?: any) => void>} What ends each call. */
      const calls = new Map();
      /** @type {[resolve: () => void, reject: (error: unknown) => void][]} Those who wait for connect(). */
      const waiting = [];

      // What the application gave is called here: its failures, late ones too, are told, and harm nobody.
      /** @type {Run} */
      const run = (what, call, args, isQuiet) => {
        const failed = (/** @type {unknown} */ error) => {
          console.error(`CrossWS: ${what} failed.`, error);
          if (!isQuiet) fire("error", error);
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
      };

      const [listeners, deliver] = listening(run);
      const [lifecycle, fire] = listening(run, LIFECYCLE);

      const isConnected = () => socket?.readyState === 1;

      /** @param {{ event: string, payload: any, callbackId?: string }} frame */
      const send = (frame) => {
        checkEvent(frame.event);
        if (!isConnected()) throw new NotConnected(`"${frame.event}" was not sent.`);
        socket.send(encode(frame));
      };

      const open = () => {
        wasOpen = false;
        listenToPage("add");
        try {
          const mine = (socket = new WebSocket(href, protocols));
          /** @type {(handle: Listener) => Listener} */
          const own = (handle) => (event) => mine === socket && handle(event);
          const failed = (/** @type {Error} */ error) => lost(1006, "", ["error", error]);
          const tooLate = () => failed(new Error(`No answer came in ${connectTimeout} ms.`));
          timer = connectTimeout && setTimeout(tooLate, connectTimeout);
          mine.onopen = own(() => {
            timer = clearTimeout(timer);
            wasOpen = true;
            settle();
            heartbeat();
            fire("open");
          });
          mine.onmessage = own(({ data }) => received(data));
          mine.onclose = own(({ code, reason }) => lost(code, reason));
          // Not every WebSocket fires "close" after "error". A browser does not say what it is.
          mine.onerror = own(({ error }) => failed(error ?? new Error("No WebSocket there, or none for this page.")));
        } catch (error) {
          // The page may not connect there, or no WebSocket takes the URL: another attempt would end in the same.
          settle(error);
          fire("error", error);
        }
      };

      /** Done with connect(): it is given up, or without an error open. @type {(error?: unknown) => void} */
      const settle = (error) => {
        isReconnecting = false;
        attempt = failures = 0;
        if (error) listenToPage("remove");
        for (const [resolve, reject] of waiting.splice(0)) error ? reject(error) : resolve();
      };

      /** It ended by itself. @type {(code: number, reason: string, cause?: [string, ...any]) => void} */
      const lost = (code, reason, cause) => {
        let isWanted = /** @type {any} */ (false);
        run("reconnectOn", () => { isWanted = reconnectOn(code, reason); }, []);
        const failed = wasOpen ? 0 : ++failures;
        const why = cause?.[1]?.message ?? `Closed: ${code} ${reason}`;
        const isOver = isWanted && attempt >= /** @type {number} */ (repeatLimit);
        const isEnough = waiting[0] && failures >= attempts;
        const doublings = attempt + 1 - fastReconnectThreshold;
        const factor = doublings > 0 ? 2 ** doublings + 1 : 1;
        // In the end the factor is infinite, and 0 times that is no number.
        const longest = Math.min(fastReconnectInterval * factor || 0, reconnectMaxInterval);
        // A server that is being restarted says when to come back, in seconds, to each client another time.
        const hint = code === 1012 && /\bretry-after=(\d+(\.\d+)?)/.exec(reason);
        const delay = hint
          ? Math.min(+hint[1] * 1000, 60000, reconnectMaxInterval)
          : longest - Math.min(fastReconnectInterval, longest) * random();
        const next = () => {
          if (!isWanted || isOver || isEnough) return settle(new NotConnected(why));
          isReconnecting = true;
          attempt++;
          timer = setTimeout(reconnect, delay);
        };
        end(code, reason, next, cause);
        if (failed) fire("unreachable", why, failed);
        if (failed === 1) console.warn(`CrossWS: cannot connect to ${href.split("?")[0]}. ${why}`);
        if (isOver) fire("repeatLimit", repeatLimit);
        // A listener may have called close() or reconnect().
        else if (timer && !socket) fire("reconnect", attempt, delay);
      };

      // Whatever ends a connection or a wait. The state is set first: who is told then may call any method.
      /** @type {(code: number, reason: string, next: () => void, cause?: [string, ...any]) => void} */
      const end = (code, reason, next, cause) => {
        const ended = socket;
        socket = latency = null;
        isAsleep = false;
        timer = clearTimeout(timer);
        heartbeat();
        // A WebSocket refuses to send most codes below 3000.
        if (ended?.readyState < 3) ended.close(code < 3000 ? 1000 : code, reason);
        next();
        calls.forEach((stop) => stop(new NotConnected("The connection ended.")));
        if (cause) fire(...cause);
        if (ended) fire("close", code, reason);
      };

      /** @type {(reset?: boolean) => void} */
      const reconnect = (reset) => {
        if (reset) attempt = failures = 0;
        end(1000, "reconnecting", () => {
          isReconnecting = true;
          open();
        });
      };

      // A page that is frozen still takes what is sent to it, and the browser answers pings in its place.
      const pageChanged = (/** @type {any} */ { type, persisted }) => {
        const waitingNow = timer;
        if (type === "online") {
          const tryNow = () => timer === waitingNow && reconnect();
          // All clients of a network come online in the same moment.
          if (timer && !socket) setTimeout(tryNow, fastReconnectInterval * random());
        } else if (type === "freeze" || (persisted && type === "pagehide")) {
          end(4001, "The page is frozen.", () => { isReconnecting = isAsleep = true; });
        } else if (isAsleep) reconnect();
      };

      // "freeze" and "resume" are events of the document, and do not bubble.
      const listenToPage = (/** @type {string} */ verb) => {
        PAGE_EVENTS.forEach((type) => world[verb + "EventListener"]?.(type, pageChanged, true));
      };

      /** The next one after pingInterval, if there is one; now: one at once. @type {(now?: boolean) => void} */
      const heartbeat = (now) => {
        clearTimeout(pingTimer);
        if (isConnected() && pingInterval) {
          pingTimer = setTimeout(() => heartbeat(true), pingInterval);
          if (!now || pongTimer) return;
          pongTimer = setTimeout(() => lost(4002, "No heartbeat answer came in time.", ["pongTimeout"]), pongTimeout);
          pingedAt = performance.now();
          socket.send(pingMessage);
          fire("ping");
        } else pongTimer = clearTimeout(pongTimer);
      };

      // Events that start and end with "_" are the protocol's own.
      const received = (/** @type {unknown} */ text) => {
        if (text === pingMessage) {
          if (!pongTimer) return;
          pongTimer = clearTimeout(pongTimer);
          latency = performance.now() - pingedAt;
          fire("pong", latency);
        } else if (isText(text)) {
          fire("message", text);
          let frame;
          try { frame = JSON.parse(/** @type {string} */ (text)) ?? {}; } catch { return; }
          const { event, payload = null, callbackId, ackId, error } = frame;
          if (isText(callbackId)) calls.get(callbackId)?.(error && new RemoteError(error.code, error.message), payload);
          else if (isText(event) && !/^_(.*_)?$/s.test(event)) {
            const asker = socket;
            const results = deliver(event, payload);
            if (isText(ackId)) answer(asker, ackId, results);
          }
        }
      };

      // The first result that is one; null if there is none; an error if a listener failed and none gave a result. To
      // the server another connection is another client, so what comes too late for this one is dropped.
      /** @type {(asker: any, ackId: string, results: any[]) => Promise<void>} */
      const answer = async (asker, ackId, results) => {
        let text, fault;
        for (const result of results) {
          try {
            const payload = text ? null : await result;
            // It is a failure, too, if it cannot be sent.
            if (payload != null) text = encode({ ackId, payload });
          } catch (error) {
            fault ??= error instanceof RemoteError ? error : new RemoteError("internal_error", "It failed.");
          }
        }
        const error = fault && { code: fault.code, message: fault.message };
        // What is undefined is left out.
        text ??= encode({ ackId, error, payload: fault ? undefined : null });
        if (asker.readyState === 1) asker.send(text);
      };

      /**
       * What happens to the connection: open(), close(code, reason), error(error), unreachable(reason, attempt) for
       * each attempt that failed, reconnect(attempt, delay) when one to reconnect is scheduled, repeatLimit(limit),
       * ping(), pong(latency), pongTimeout(), and message(text) for every text but the heartbeat's answer. Other names
       * are a TypeError. @type {Listeners}
       */
      this.lifecycle = lifecycle;
      /**
       * Call a listener with the payload, every time the event comes. Where the server asks, what it returns, or its
       * promise resolves to, is the answer: the first of several.
       */
      this.on = listeners.on;
      /** As on(), but the first time only. */
      this.once = listeners.once;
      /** Remove that listener, or all with that tag, or without either all of the event. */
      this.off = listeners.off;

      /** Set pingInterval; immediate: with a heartbeat now. @type {(interval: number, immediate?: boolean) => void} */
      this.setPingInterval = (interval, immediate) => {
        checkNumber("pingInterval", interval);
        pingInterval = interval;
        heartbeat(immediate);
      };

      /** Send an event; throws NotConnected. @type {(event: string, payload?: any) => void} */
      this.emit = (event, payload) => send({ event, payload });

      /**
       * Send an event, for the payload of its reply; rejected with NotConnected, CallTimeout or RemoteError.
       * @type {(event: string, payload?: any, callOptions?: CallOptions) => Promise<any>}
       */
      this.call = (event, payload, callOptions) =>
        new Promise((resolve, reject) => {
          const defaults = { timeout: callTimeout, pendingAfter, onPending: (/** @type {boolean} */ _) => {} };
          const { timeout, pendingAfter: wait, onPending } = configure(callOptions, defaults);
          const callbackId = (++callCount).toString(36);
          let isPending = false;
          const tell = (/** @type {boolean} */ value) => run("onPending", onPending, [(isPending = value)]);
          const pendingTimer = setTimeout(() => tell(true), wait);
          const tooLate = () => stop(new CallTimeout(`No reply to "${event}" came in ${timeout} ms.`));
          const timeoutTimer = setTimeout(tooLate, timeout);
          const stop = (/** @type {any} */ error, /** @type {any} */ reply = null) => {
            clearTimeout(pendingTimer);
            clearTimeout(timeoutTimer);
            calls.delete(callbackId);
            if (isPending) tell(false);
            error ? reject(error) : resolve(reply);
          };
          calls.set(callbackId, stop);
          try { send({ event, payload, callbackId }); } catch (error) { stop(error); }
        });

      /**
       * Connect, unless that is done or under way. Resolved when it is open, even if that takes several attempts;
       * rejected with NotConnected when it is given up: by close(), after as many failed attempts as the options
       * attempts and repeatLimit say, or after a close code that is final. @type {() => Promise<void>}
       */
      this.connect = () => {
        /** @type {Promise<void>} */
        const opened = new Promise((resolve, reject) => waiting.push([resolve, reject]));
        // Who does not look at the promise has the lifecycle; Node.js would end the process otherwise.
        opened.catch(() => {});
        if (isConnected()) settle();
        else if (!socket && !timer && !isAsleep) open();
        return opened;
      };

      /** Drop the connection, if any, and connect now; reset: count attempts from 0. */
      this.reconnect = reconnect;

      /** Close with code 4001, and stay closed until connect() or reconnect(). @type {() => void} */
      this.close = () => {
        const reason = "The client closed the connection.";
        end(4001, reason, () => settle(new NotConnected(reason)));
      };

      Object.defineProperties(this, {
        isConnected: { get: isConnected },
        isReconnecting: { get: () => isReconnecting },
        latency: { get: () => latency },
        pingInterval: { get: () => pingInterval, set: this.setPingInterval },
      });
    }
  }

  world.CrossWS = CrossWS;
  if (typeof module === "object") module.exports = CrossWS;
})();
