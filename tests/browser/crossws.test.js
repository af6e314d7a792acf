// What crossws.js promises, on a fake WebSocket and a fake clock: node --test tests/browser/crossws.test.js
"use strict";

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { describe, test } = require("node:test");
const v8 = require("node:v8");
const vm = require("node:vm");

const SOURCE = join(__dirname, "..", "..", "twisted_crossws", "browser", "crossws.js");
const CrossWS = require(SOURCE);

const LIFECYCLE = [
  "open", "close", "error", "unreachable", "reconnect", "repeatLimit", "ping", "pong", "pongTimeout", "message",
];

/** Timers that fire when the test says so. */
class FakeClock {
  now = 0;
  timers = new Map();
  #count = 0;

  setTimeout(callback, delay) {
    assert.ok(delay >= 0 && delay < 2 ** 31, `setTimeout cannot wait ${delay} ms`);
    this.timers.set(++this.#count, { callback, due: this.now + delay });
    return this.#count;
  }

  clearTimeout(id) {
    this.timers.delete(id);
  }

  advance(milliseconds) {
    const end = this.now + milliseconds;
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.due <= end).sort(([, a], [, b]) => a.due - b.due)[0];
      if (!due) break;
      const [id, { callback, due: at }] = due;
      this.timers.delete(id);
      this.now = at;
      callback();
    }
    this.now = end;
  }
}

/** A WebSocket whose other side is the test. Like a browser's, it refuses codes that may not be sent. */
class FakeWebSocket {
  readyState = 0;
  sent = [];
  closed = null;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text) {
    assert.notEqual(this.readyState, 0, "A WebSocket cannot send before it is open.");
    this.sent.push(text);
  }

  close(code, reason) {
    assert.ok(code === undefined || code === 1000 || (code >= 3000 && code <= 4999), `code ${code} cannot be sent`);
    if (this.readyState < 2) this.readyState = 2;
    this.closed = [code, reason];
  }

  accept() {
    this.readyState = 1;
    this.onopen({});
  }

  receive(frame) {
    this.onmessage({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }

  end(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }

  /** As browsers do it: first error, which tells nothing, then close. */
  fail() {
    this.readyState = 3;
    this.onerror({});
    this.onclose({ code: 1006, reason: "" });
  }

  get frames() {
    return this.sent.filter(Boolean).map((text) => JSON.parse(text));
  }
}

/**
 * A client, and all that surrounds it. Its lifecycle is written to log, but for unreachable, which has tests of its own;
 * what it tells the console, to complaints and warnings. Waits have no jitter: they are as long as they can be.
 */
function makeWorld(t, options = {}, url = "ws://host/chat") {
  const clock = new FakeClock();
  const sockets = [];
  const complaints = [];
  const warnings = [];
  class Socket extends FakeWebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  }
  t.mock.method(globalThis, "setTimeout", (callback, delay) => clock.setTimeout(callback, delay));
  t.mock.method(globalThis, "clearTimeout", (id) => clock.clearTimeout(id));
  t.mock.method(performance, "now", () => clock.now);
  t.mock.method(console, "error", (...args) => complaints.push(args));
  t.mock.method(console, "warn", (...args) => warnings.push(args.join(" ")));
  const client = new CrossWS(url, { WebSocket: Socket, random: () => 0, ...options });
  const log = [];
  const failures = [];
  for (const event of LIFECYCLE) {
    const list = event === "unreachable" ? failures : log;
    client.lifecycle.on(event, (...args) => list.push([event, ...args]));
  }
  const world = { client, clock, sockets, complaints, warnings, log, failures };
  Object.defineProperty(world, "socket", { get: () => sockets.at(-1) });
  return world;
}

/** A world whose client is connected, with nothing in its log. */
function makeConnected(t, options, url) {
  const world = makeWorld(t, options, url);
  world.client.connect();
  world.socket.accept();
  world.log.length = 0;
  return world;
}

const names = (log) => log.map(([event]) => event);

describe("loading", () => {
  test("require gives the class, with its errors", () => {
    assert.equal(typeof CrossWS, "function");
    for (const name of ["NotConnected", "CallTimeout", "RemoteError"]) {
      const error = new CrossWS[name]("x");
      assert.ok(error instanceof Error);
      assert.equal(error.name, name);
    }
  });

  test("a script element gives the global CrossWS, and nothing else", () => {
    const page = vm.createContext({});
    vm.runInContext(readFileSync(SOURCE, "utf8"), page);
    assert.deepEqual(Object.keys(page), ["CrossWS"]);
    assert.equal(vm.runInContext("typeof CrossWS", page), "function");
    assert.equal(vm.runInContext("typeof NotConnected", page), "undefined");
  });

  test("a script can be loaded twice", () => {
    const page = vm.createContext({});
    vm.runInContext(readFileSync(SOURCE, "utf8"), page);
    vm.runInContext(readFileSync(SOURCE, "utf8"), page);
  });

  test("is at most 6 kB, once a tool has made it small", () => {
    const source = readFileSync(SOURCE, "utf8").replace(/\/\*.*?\*\//gs, "").replace(/(^| )\/\/ .*/gm, "");
    const bare = source.replace(/\s+/g, " ").replace(/ ?([{}()[\],;:=<>?&|+*-]) ?/g, "$1");
    // terser 5 makes 6,140 bytes of 10,108 such.
    assert.ok(bare.length <= 10110, `${bare.length} characters without comments and spaces`);
  });

  test("an import for its side effect gives the global CrossWS", async () => {
    assert.equal(globalThis.CrossWS, CrossWS, "Node.js takes the file for CommonJS");
    delete globalThis.CrossWS;
    await import("data:text/javascript," + encodeURIComponent(readFileSync(SOURCE, "utf8")));
    assert.equal(typeof globalThis.CrossWS, "function", "a browser takes it for an ES module");
  });
});

describe("options", () => {
  test("an option that does not exist is named", () => {
    for (const name of ["pingIntervall", "toString"]) {
      const expected = { name: "TypeError", message: new RegExp(`"${name}".*params, connectTimeout`) };
      assert.throws(() => new CrossWS("ws://host", { [name]: 1 }), expected);
    }
  });

  test("a value of the wrong type is refused, and the option named", () => {
    const wrong = {
      pingInterval: "10", pongTimeout: NaN, fastReconnectInterval: -1, reconnectMaxInterval: 2 ** 31,
      callTimeout: Infinity, repeatLimit: "3", pingMessage: 1, reconnectOn: true, random: 0.5, params: "id=1",
    };
    for (const [name, value] of Object.entries(wrong)) {
      const expected = { name: "TypeError", message: new RegExp(`"${name}".*(number from 0|type [a-z]+)`) };
      assert.throws(() => new CrossWS("ws://host", { WebSocket: FakeWebSocket, [name]: value }), expected, name);
    }
  });

  test("null and undefined stand for the default", (t) => {
    const { client } = makeWorld(t, { pingInterval: undefined, pingMessage: null, repeatLimit: null });
    assert.equal(client.pingInterval, 10000);
  });

  test("without any WebSocket, a sentence says what to do", (t) => {
    const had = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
    Object.defineProperty(globalThis, "WebSocket", { value: undefined, configurable: true, writable: true });
    t.after(() => (had ? Object.defineProperty(globalThis, "WebSocket", had) : delete globalThis.WebSocket));
    assert.throws(() => new CrossWS("ws://host"), { name: "TypeError", message: /option "WebSocket"/ });
  });

  test("the global WebSocket is the default", (t) => {
    const had = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
    const made = [];
    const value = function (url) { made.push(url); };
    t.mock.method(globalThis, "setTimeout", () => 1);
    Object.defineProperty(globalThis, "WebSocket", { value, configurable: true, writable: true });
    t.after(() => (had ? Object.defineProperty(globalThis, "WebSocket", had) : delete globalThis.WebSocket));
    new CrossWS("ws://host").connect();
    assert.deepEqual(made, ["ws://host/?crossws=2"]);
  });

  test("subprotocols are passed on", (t) => {
    const { client, sockets } = makeWorld(t, { protocols: ["a", "b"] });
    client.connect();
    assert.deepEqual(sockets[0].protocols, ["a", "b"]);
  });
});

describe("the URL", () => {
  const urlOf = (t, url, params) => {
    const { client, sockets } = makeWorld(t, params && { params }, url);
    client.connect();
    return sockets[0].url;
  };

  test("asks for version 2, always", (t) => {
    assert.equal(urlOf(t, "ws://host:9000/chat"), "ws://host:9000/chat?crossws=2");
    assert.equal(urlOf(t, new URL("wss://host/"), { crossws: 1 }), "wss://host/?crossws=2");
  });

  test("carries the params: arrays repeat their key, null and undefined are left out", (t) => {
    const params = {
      id: 16, name: "Säm & Co", ok: true, zero: 0, tag: ["a", null, "b"], none: null, no: undefined, empty: "",
    };
    const { searchParams } = new URL(urlOf(t, "ws://host/", params));
    assert.deepEqual([...searchParams], [
      ["id", "16"], ["name", "Säm & Co"], ["ok", "true"], ["zero", "0"], ["tag", "a"], ["tag", "b"], ["empty", ""],
      ["crossws", "2"],
    ]);
  });

  test("keeps the query that it has", (t) => {
    assert.equal(urlOf(t, "ws://host/p?a=1&a=2", { b: 3 }), "ws://host/p?a=1&a=2&b=3&crossws=2");
  });

  test("may be relative to the page, or begin with http", (t) => {
    assert.equal(urlOf(t, "https://host/chat"), "wss://host/chat?crossws=2");
    globalThis.location = { href: "http://page:8080/folder/index.html?x=1" };
    t.after(() => delete globalThis.location);
    assert.equal(urlOf(t, "/chat"), "ws://page:8080/chat?crossws=2");
    assert.equal(urlOf(t, "wss://other/"), "wss://other/?crossws=2");
  });

  test("that is none is refused at once", () => {
    assert.throws(() => new CrossWS("nonsense", { WebSocket: FakeWebSocket }), TypeError);
  });
});

describe("listeners", () => {
  test("run in the order in which they were added, with the payload", (t) => {
    const { client, socket } = makeConnected(t);
    const heard = [];
    client.on("say", (payload) => heard.push(["first", payload]));
    client.once("say", (payload) => heard.push(["once", payload]));
    client.on("say", (payload) => heard.push(["last", payload]));
    socket.receive({ event: "say", payload: { text: "hi" } });
    socket.receive({ event: "say", payload: 2 });
    assert.deepEqual(heard, [
      ["first", { text: "hi" }], ["once", { text: "hi" }], ["last", { text: "hi" }], ["first", 2], ["last", 2],
    ]);
  });

  test("are removed one by one, by tag, or all of an event", (t) => {
    const { client, socket } = makeConnected(t);
    const heard = [];
    const one = () => heard.push("one");
    client.on("say", one);
    client.on("say", () => heard.push("tagged"), "tag");
    client.once("say", () => heard.push("tagged too"), "tag");
    client.on("say", () => heard.push("other"));
    client.on("else", () => heard.push("else"));
    const said = () => {
      heard.length = 0;
      for (const event of ["say", "else"]) socket.receive({ event });
      return heard.join(" ");
    };
    client.off("say", () => {});
    client.off("never");
    client.off("say", "tag");
    assert.equal(said(), "one other else");
    client.off("say", one);
    assert.equal(said(), "other else");
    client.off("say");
    assert.equal(said(), "else");
  });

  test("one that throws, or fails later, is reported, and the next one runs", async (t) => {
    const { client, socket, complaints, log } = makeConnected(t);
    const [now, later] = [new Error("now"), new Error("later")];
    let ran = 0;
    client.on("say", () => { throw now; });
    client.on("say", async () => { throw later; });
    client.on("say", () => ran++);
    socket.receive({ event: "say" });
    await null;
    assert.equal(ran, 1);
    assert.deepEqual(log.slice(1), [["error", now], ["error", later]]);
    assert.deepEqual(complaints.map(([, error]) => error), [now, later]);
    assert.match(complaints[0][0], /"say"/);
  });

  test("a lifecycle listener of error that throws is told to the console alone", (t) => {
    const { client, socket, complaints, log } = makeConnected(t);
    client.lifecycle.on("error", () => { throw new Error("again"); });
    client.on("say", () => { throw new Error("first"); });
    socket.receive({ event: "say" });
    assert.deepEqual(complaints.map(([, error]) => error.message), ["first", "again"]);
    assert.deepEqual(names(log), ["message", "error"]);
  });

  test("adding and removing counts from the next delivery on", (t) => {
    const { client, socket } = makeConnected(t);
    const heard = [];
    const second = () => heard.push("second");
    client.once("say", () => {
      client.off("say", second);
      client.on("say", () => heard.push("added"));
    });
    client.on("say", second);
    socket.receive({ event: "say" });
    assert.deepEqual(heard, ["second"]);
    socket.receive({ event: "say" });
    assert.deepEqual(heard, ["second", "added"]);
  });

  test("once is once, even if the event comes again while it runs", (t) => {
    const { client, socket } = makeConnected(t);
    let ran = 0;
    client.once("say", () => {
      ran++;
      socket.receive({ event: "say" });
    });
    socket.receive({ event: "say" });
    assert.equal(ran, 1);
  });

  test("need an event that is a non-empty string, and a function", (t) => {
    const { client } = makeWorld(t);
    for (const target of [client, client.lifecycle]) {
      for (const method of ["on", "once"]) {
        const add = (...args) => () => target[method](...args);
        for (const event of ["", null, undefined, 5, {}]) assert.throws(add(event, () => {}), TypeError);
        for (const listener of [undefined, null, "f", {}]) assert.throws(add("say", listener), TypeError);
      }
    }
  });

  test("of the lifecycle need an event that there is", (t) => {
    const { client } = makeWorld(t);
    for (const method of ["on", "once"]) {
      const expected = { name: "TypeError", message: /one of open, close, error, unreachable,/ };
      assert.throws(() => client.lifecycle[method]("cloze", () => {}), expected);
    }
  });

  test("that nobody has added cost nothing, whatever the server sends", (t) => {
    v8.setFlagsFromString("--expose-gc");
    const collect = vm.runInNewContext("gc");
    const { client, socket, log } = makeConnected(t);
    client.lifecycle.off("message");
    client.once("once", () => {});
    const receive = (count) => {
      for (let i = 0; i < count; i++) socket.onmessage({ data: JSON.stringify({ event: "x".repeat(100) + i }) });
    };
    receive(1000);
    collect();
    const before = process.memoryUsage().heapUsed;
    receive(50000);
    collect();
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 2e6, `${grown} bytes are kept for 50,000 names`);
    assert.deepEqual(log, []);
  });

  test("events may have the names of what every object has", (t) => {
    const { client, socket, complaints } = makeConnected(t);
    let ran = 0;
    for (const event of ["constructor", "__proto__", "toString"]) {
      socket.receive({ event });
      client.on(event, () => ran++);
      socket.receive({ event });
    }
    assert.equal(ran, 2, "__proto__ is reserved, as it starts and ends with _");
    assert.deepEqual(complaints, []);
  });
});

describe("what is received", () => {
  test("an absent payload is null", (t) => {
    const { client, socket } = makeConnected(t);
    const heard = [];
    client.on("say", (payload) => heard.push(payload));
    socket.receive({ event: "say" });
    socket.receive({ event: "say", payload: false });
    assert.deepEqual(heard, [null, false]);
  });

  test("events of the protocol reach no listener", (t) => {
    const { client, socket } = makeConnected(t);
    const heard = [];
    for (const event of ["_hello_", "_", "__", "_a", "a_"]) client.on(event, () => heard.push(event));
    for (const event of ["_hello_", "_", "__", "_a", "a_"]) socket.receive({ event, payload: { version: 2 } });
    assert.deepEqual(heard, ["_a", "a_"]);
  });

  test("an event with an ackId is delivered", (t) => {
    const { client, socket } = makeConnected(t);
    const heard = [];
    client.on("ask", (payload) => heard.push(payload));
    socket.receive({ event: "ask", payload: 1, ackId: "x" });
    assert.deepEqual(heard, [1]);
  });

  test("a frame with a string callbackId is a reply, whatever its event; any other callbackId is none", (t) => {
    const { client, socket } = makeConnected(t);
    const heard = [];
    client.on("say", (payload) => heard.push(payload));
    socket.receive({ event: "say", payload: "reply", callbackId: "unknown" });
    socket.receive({ event: "say", payload: "event", callbackId: 7 });
    assert.deepEqual(heard, ["event"]);
  });

  test("what is no frame goes to lifecycle message alone, and harms nobody", (t) => {
    const { socket, log, complaints } = makeConnected(t);
    const texts = ["no json", "null", "5", '"text"', "[]", "{}", '{"event":5}', '{"event":""}', '{"payload":1}'];
    for (const text of texts) socket.receive(text);
    socket.onmessage({ data: new ArrayBuffer(1) });
    assert.deepEqual(log, texts.map((text) => ["message", text]));
    assert.deepEqual(complaints, []);
  });

  test("huge numbers, half of a surrogate pair and deep nesting are taken as JavaScript has them", (t) => {
    const { client, socket } = makeConnected(t);
    const heard = [];
    client.on("say", (payload) => heard.push(payload));
    const deep = "[".repeat(1000) + "]".repeat(1000);
    for (const value of ["100000000000000000000", "1e400", '"\\ud83d"', deep]) socket.receive(`{"event":"say","payload":${value}}`);
    assert.deepEqual(heard.slice(0, 3), [1e20, Infinity, "\ud83d"]);
    assert.equal(JSON.stringify(heard[3]), deep);
  });

  test("what JavaScript alone can hold goes out as JSON, and what has no form there is not sent", async (t) => {
    const { client, socket } = makeConnected(t);
    client.emit("say", [1e20, "\ud83d", Infinity]);
    assert.equal(socket.sent.at(-1), '{"event":"say","payload":[100000000000000000000,"\\ud83d",null]}');
    assert.throws(() => client.emit("say", 1n), TypeError);
    await assert.rejects(client.call("say", 1n), TypeError);
  });

  test("lifecycle message comes with every frame, ahead of its listeners", (t) => {
    const { client, socket, log } = makeConnected(t);
    client.on("say", () => log.push(["say"]));
    socket.receive('{"event":"say"}');
    assert.deepEqual(log, [["message", '{"event":"say"}'], ["say"]]);
  });
});

describe("a request of the server", () => {
  /** Long enough for all promises that are resolved already. */
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  /** What the client answers when listeners of these results are asked. */
  const answerOf = async (t, ...listeners) => {
    const world = makeConnected(t);
    for (const listener of listeners) world.client.on("ask", listener);
    world.socket.receive({ event: "ask", payload: { n: 1 }, ackId: "a-1" });
    await settled();
    return { ...world, answer: world.socket.frames[0], answers: world.socket.frames.length };
  };

  test("is answered with what the listener returns, or its promise resolves to", async (t) => {
    const { answer, complaints } = await answerOf(t, ({ n }) => ({ twice: 2 * n }));
    assert.deepEqual(answer, { ackId: "a-1", payload: { twice: 2 } });
    assert.deepEqual((await answerOf(t, async ({ n }) => [n])).answer, { ackId: "a-1", payload: [1] });
    assert.deepEqual(complaints, []);
  });

  test("is answered once, with the first result that is neither null nor undefined", async (t) => {
    const { answer, answers } = await answerOf(t, () => {}, () => null, async () => {}, () => 0, () => "late");
    assert.deepEqual([answer, answers], [{ ackId: "a-1", payload: 0 }, 1]);
    for (const value of [false, "", []]) assert.deepEqual((await answerOf(t, () => value)).answer.payload, value);
  });

  test("is answered with null where nobody listens, or nobody has a result", async (t) => {
    for (const listeners of [[], [() => {}], [async () => null]]) {
      assert.deepEqual((await answerOf(t, ...listeners)).answer, { ackId: "a-1", payload: null });
    }
  });

  test("is answered with an error where a listener fails and none has a result", async (t) => {
    const secret = () => { throw new Error("secret"); };
    for (const listener of [secret, async () => secret()]) {
      const { answer, complaints } = await answerOf(t, () => {}, listener);
      assert.deepEqual(answer, { ackId: "a-1", error: { code: "internal_error", message: "It failed." } });
      assert.equal(complaints.length, 1, "it is reported here");
    }
    assert.deepEqual((await answerOf(t, secret, () => 1)).answer, { ackId: "a-1", payload: 1 });
  });

  test("is answered with the RemoteError that a listener throws", async (t) => {
    const { answer } = await answerOf(t, async () => { throw new CrossWS.RemoteError("no_gps", "It is off."); });
    assert.deepEqual(answer, { ackId: "a-1", error: { code: "no_gps", message: "It is off." } });
  });

  test("is answered with an error where the result has no form in JSON", async (t) => {
    const cycle = {};
    cycle.itself = cycle;
    for (const value of [1n, cycle]) assert.equal((await answerOf(t, () => value)).answer.error.code, "internal_error");
    assert.deepEqual((await answerOf(t, () => 1n, () => 2)).answer.payload, 2);
  });

  test("of the protocol is none, and what has no text as its ackId wants no answer", async (t) => {
    const { client, socket } = makeConnected(t);
    client.on("ask", () => 1);
    socket.receive({ event: "_ask_", ackId: "a-1" });
    for (const ackId of [7, null, undefined, {}]) socket.receive({ event: "ask", ackId });
    await settled();
    assert.deepEqual(socket.frames, []);
  });

  test("is answered on its own connection, or not at all", async (t) => {
    const { client, sockets, complaints } = makeConnected(t);
    let answer;
    client.on("ask", () => new Promise((resolve) => { answer = resolve; }));
    sockets[0].receive({ event: "ask", ackId: "a-1" });
    client.reconnect();
    sockets[1].accept();
    answer("late");
    await settled();
    assert.deepEqual(sockets.map(({ frames }) => frames), [[], []]);
    assert.deepEqual(complaints, []);
  });

  test("does not keep others waiting", async (t) => {
    const { client, socket } = makeConnected(t);
    client.on("slow", () => new Promise(() => {}));
    client.on("ask", () => "quick");
    socket.receive({ event: "slow", ackId: "a-1" });
    socket.receive({ event: "ask", ackId: "a-2" });
    await settled();
    assert.deepEqual(socket.frames, [{ ackId: "a-2", payload: "quick" }]);
  });
});

describe("emit", () => {
  test("sends the frame", (t) => {
    const { client, socket } = makeConnected(t);
    client.emit("say", { text: "hi" });
    client.emit("bye");
    assert.deepEqual(socket.sent, ['{"event":"say","payload":{"text":"hi"}}', '{"event":"bye"}']);
  });

  test("throws NotConnected before, between and after connections", (t) => {
    const { client, sockets } = makeWorld(t);
    const isRefused = () => assert.throws(() => client.emit("say", 1), CrossWS.NotConnected);
    isRefused();
    client.connect();
    isRefused();
    sockets[0].accept();
    sockets[0].readyState = 2;
    isRefused();
    sockets[0].end(1001);
    isRefused();
    client.close();
    isRefused();
    assert.deepEqual(sockets[0].sent, []);
  });

  test("needs an event that is a non-empty string, and a payload that JSON can hold", (t) => {
    const { client, socket } = makeConnected(t);
    for (const event of ["", undefined, 5]) assert.throws(() => client.emit(event, 1), TypeError);
    assert.throws(() => client.emit("say", 1n), TypeError);
    assert.deepEqual(socket.sent, []);
  });
});

describe("a payload", () => {
  const buffer = new ArrayBuffer(2);
  const lost = {
    ArrayBuffer: buffer, SharedArrayBuffer: new SharedArrayBuffer(2), DataView: new DataView(buffer),
    Uint8Array: new Uint8Array(2), Float64Array: new Float64Array(2), Blob: new Blob(["x"]),
    Map: new Map([[1, 2]]), Set: new Set([1]), Promise: Promise.resolve(1),
  };
  for (const [kind, value] of Object.entries(lost)) {
    test(`that is or has a ${kind} is refused with a sentence, as JSON would lose it`, async (t) => {
      const { client, socket, clock } = makeConnected(t, { pingInterval: 0 });
      const expected = { name: "TypeError", message: new RegExp(`payload must be JSON.*${kind}`) };
      for (const payload of [value, [1, [value]], { a: { b: value } }]) {
        assert.throws(() => client.emit("say", payload), expected);
        await assert.rejects(client.call("say", payload), expected);
        client.on("ask", () => [payload]);
        socket.receive({ event: "ask", ackId: "a" });
        await new Promise((resolve) => setImmediate(resolve));
        client.off("ask");
      }
      assert.deepEqual(socket.frames.map(({ error }) => error?.code), Array(3).fill("internal_error"));
      assert.equal(clock.timers.size, 0);
    });
  }

  test("may be whatever JSON has a form for, and what has a form of its own", (t) => {
    const { client, socket } = makeConnected(t);
    class Point { x = 1; }
    const own = Object.assign(new Map(), { toJSON: () => "own" });
    const date = new Date(0);
    client.emit("say", [null, true, 1, "Map", [], {}, new Point(), date, own, undefined, () => {}, new String("s")]);
    assert.deepEqual(socket.frames[0].payload, [
      null, true, 1, "Map", [], {}, { x: 1 }, "1970-01-01T00:00:00.000Z", "own", null, null, "s",
    ]);
  });
});

describe("call", () => {
  test("resolves with the payload of its own reply", async (t) => {
    const { client, socket, clock } = makeConnected(t, { pingInterval: 0 });
    const [first, second, third] = [client.call("a", 1), client.call("b", 2), client.call("c")];
    const [one, two, three] = socket.frames.map((frame) => frame.callbackId);
    assert.deepEqual(socket.frames[1], { event: "b", payload: 2, callbackId: two });
    socket.receive({ callbackId: two, payload: "second" });
    socket.receive({ callbackId: one, payload: { n: 1 } });
    socket.receive({ callbackId: three });
    assert.deepEqual(await Promise.all([first, second, third]), [{ n: 1 }, "second", null]);
    assert.equal(clock.timers.size, 0);
  });

  test("has an id of its own, that a server takes for one", async (t) => {
    const ids = [];
    for (let i = 0; i < 3; i++) {
      const { client, socket } = makeConnected(t);
      for (let j = 0; j < 50; j++) client.call("a").catch(() => {});
      ids.push(...socket.frames.map((frame) => frame.callbackId));
      t.mock.restoreAll();
    }
    assert.equal(new Set(ids).size, 150, "not even two clients have an id in common");
    for (const id of ids) assert.match(id, /^[0-9a-z]{1,64}$/);
  });

  test("rejects with CallTimeout, and a reply that comes later finds nobody", async (t) => {
    const { client, socket, clock } = makeConnected(t, { callTimeout: 5000, pingInterval: 0 });
    let error;
    client.call("slow").catch((reason) => (error = reason));
    clock.advance(4999);
    await null;
    assert.equal(error, undefined);
    clock.advance(1);
    await null;
    assert.ok(error instanceof CrossWS.CallTimeout && error.name === "CallTimeout");
    assert.match(error.message, /"slow".*5000/);
    socket.receive({ callbackId: socket.frames[0].callbackId, payload: 1 });
    assert.equal(clock.timers.size, 0);
  });

  test("takes its own time-out", async (t) => {
    const { client, clock } = makeConnected(t);
    const call = client.call("slow", null, { timeout: 20 });
    clock.advance(20);
    await assert.rejects(call, CrossWS.CallTimeout);
  });

  test("rejects with RemoteError where the reply is an error", async (t) => {
    const { client, socket } = makeConnected(t);
    const calls = [client.call("a"), client.call("b"), client.call("c")];
    const ids = socket.frames.map((frame) => frame.callbackId);
    socket.receive({ callbackId: ids[0], error: { code: "full", message: "The table is full." } });
    socket.receive({ callbackId: ids[1], error: { code: "full" } });
    socket.receive({ callbackId: ids[2], error: {}, payload: 1 });
    const errors = (await Promise.allSettled(calls)).map((result) => result.reason);
    for (const error of errors) assert.ok(error instanceof CrossWS.RemoteError && error.name === "RemoteError");
    assert.deepEqual(errors.map(({ code, message }) => [code, message]), [
      ["full", "The table is full."], ["full", "full"], ["error", "error"],
    ]);
  });

  test("rejects with NotConnected without a connection, and when it ends before the reply", async (t) => {
    const { client, sockets, clock } = makeWorld(t);
    await assert.rejects(client.call("a"), CrossWS.NotConnected);
    for (const end of [() => sockets.at(-1).end(1001), () => client.reconnect(), () => client.close()]) {
      client.reconnect();
      sockets.at(-1).accept();
      const call = client.call("a");
      end();
      await assert.rejects(call, { name: "NotConnected" });
    }
    assert.equal(clock.timers.size, 0);
  });

  test("rejects, and sends nothing, where it is called wrongly", async (t) => {
    const { client, socket, clock } = makeConnected(t, { pingInterval: 0 });
    await assert.rejects(client.call(""), TypeError);
    await assert.rejects(client.call("a", 1n), TypeError);
    await assert.rejects(client.call("a", 1, { timeOut: 5 }), { name: "TypeError", message: /"timeOut"/ });
    await assert.rejects(client.call("a", 1, { timeout: -1 }), { name: "TypeError", message: /"timeout"/ });
    await assert.rejects(client.call("a", 1, { onPending: 1 }), { name: "TypeError", message: /"onPending"/ });
    assert.deepEqual(socket.sent, []);
    assert.equal(clock.timers.size, 0);
  });

  test("a reply that is there as soon as the call is sent, counts", async (t) => {
    const { client, socket } = makeConnected(t);
    t.mock.method(socket, "send", (text) => socket.receive({ ...JSON.parse(text), payload: "at once" }));
    assert.equal(await client.call("a"), "at once");
  });

  describe("onPending", () => {
    const pendingOf = (t, options, callOptions) => {
      const world = makeConnected(t, { pingInterval: 0, ...options });
      world.told = [];
      const onPending = (isPending) => world.told.push(isPending);
      world.call = world.client.call("a", null, { onPending, ...callOptions });
      world.call.catch(() => {});
      world.reply = () => world.socket.receive({ callbackId: world.socket.frames[0].callbackId });
      return world;
    };

    test("is not called for a quick reply", (t) => {
      const { clock, told, reply } = pendingOf(t);
      clock.advance(99);
      reply();
      clock.advance(1000);
      assert.deepEqual(told, []);
    });

    test("is called with true after pendingAfter, and with false at the reply", (t) => {
      const { clock, told, reply } = pendingOf(t);
      clock.advance(100);
      assert.deepEqual(told, [true]);
      reply();
      assert.deepEqual(told, [true, false]);
    });

    test("is called with false at the time-out, and when the connection ends", (t) => {
      const late = pendingOf(t);
      late.clock.advance(5000);
      assert.deepEqual(late.told, [true, false]);
      t.mock.restoreAll();
      const lost = pendingOf(t);
      lost.clock.advance(100);
      lost.socket.end(1006);
      assert.deepEqual(lost.told, [true, false]);
    });

    test("comes after the pendingAfter of the client, or of the call", (t) => {
      const ofClient = pendingOf(t, { pendingAfter: 300 });
      ofClient.clock.advance(299);
      assert.deepEqual(ofClient.told, []);
      ofClient.clock.advance(1);
      assert.deepEqual(ofClient.told, [true]);
      t.mock.restoreAll();
      const ofCall = pendingOf(t, { pendingAfter: 300 }, { pendingAfter: 0 });
      ofCall.clock.advance(0);
      assert.deepEqual(ofCall.told, [true]);
    });

    test("one that throws is reported, and the call goes on", async (t) => {
      const onPending = () => { throw new Error("no spinner"); };
      const { clock, call, reply, complaints } = pendingOf(t, {}, { onPending });
      clock.advance(100);
      reply();
      assert.equal(await call, null);
      assert.equal(complaints.length, 2);
    });
  });
});

describe("connect", () => {
  test("resolves when the connection is open", async (t) => {
    const { client, sockets, log } = makeWorld(t);
    const [first, second] = [client.connect(), client.connect()];
    assert.equal(sockets.length, 1);
    assert.deepEqual([client.isConnected, client.isReconnecting], [false, false]);
    sockets[0].accept();
    assert.deepEqual([client.isConnected, client.isReconnecting], [true, false]);
    await Promise.all([first, second]);
    assert.deepEqual(log, [["open"]]);
  });

  test("resolves at once when it is open already", async (t) => {
    const { client, sockets } = makeConnected(t);
    await client.connect();
    assert.equal(sockets.length, 1);
  });

  test("resolves after retries, too", async (t) => {
    const { client, sockets, clock, log } = makeWorld(t);
    const connected = client.connect();
    sockets[0].fail();
    const later = client.connect();
    assert.equal(sockets.length, 1, "connect does not hurry the next attempt");
    clock.advance(3000);
    sockets[1].accept();
    await Promise.all([connected, later]);
    assert.deepEqual(names(log), ["error", "close", "reconnect", "open"]);
  });

  for (const [how, giveUp] of [
    ["close()", ({ client }) => client.close()],
    ["a final close code", ({ socket }) => socket.end(4011, "who are you?")],
    ["repeatLimit", ({ socket }) => socket.fail()],
  ]) {
    test(`rejects with NotConnected when it is given up by ${how}`, async (t) => {
      const world = makeWorld(t, { repeatLimit: 0 });
      const connected = world.client.connect();
      giveUp(world);
      await assert.rejects(connected, CrossWS.NotConnected);
      assert.equal(world.client.isReconnecting, false);
      assert.equal(world.clock.timers.size, 0);
    });
  }

  test("rejects with what the WebSocket constructor throws, and does not try again", async (t) => {
    const insecure = new Error("insecure");
    const WebSocket = function () { throw insecure; };
    const { client, clock, log } = makeWorld(t, { WebSocket });
    await assert.rejects(client.connect(), insecure);
    assert.deepEqual(log, [["error", insecure]]);
    assert.equal(client.isReconnecting, false);
    assert.equal(clock.timers.size, 0);
  });

  test("after close(), or when given up, begins anew", (t) => {
    const { client, sockets, clock, log } = makeWorld(t, { repeatLimit: 1 });
    client.connect();
    sockets[0].fail();
    clock.advance(3000);
    sockets[1].fail();
    assert.deepEqual(log.at(-1), ["repeatLimit", 1]);
    client.connect();
    sockets[2].fail();
    assert.deepEqual(log.at(-1), ["reconnect", 1, 3000]);
    client.close();
    client.connect();
    sockets[3].accept();
    assert.equal(client.isConnected, true);
  });
});

describe("an attempt to connect", () => {
  test("is given up after connectTimeout, and followed by another", (t) => {
    const { client, sockets, clock, log } = makeWorld(t, { pingInterval: 0 });
    client.connect();
    clock.advance(9999);
    assert.deepEqual(log, []);
    clock.advance(1);
    assert.equal(sockets[0].closed[0], 1000, "or browsers would keep it, and block others to that host");
    assert.deepEqual(names(log), ["error", "close", "reconnect"]);
    assert.match(log[0][1].message, /10000 ms/);
    assert.deepEqual(log.slice(1), [["close", 1006, ""], ["reconnect", 1, 3000]]);
    sockets[0].end(1006);
    clock.advance(3000);
    sockets[1].accept();
    clock.advance(1e5);
    assert.equal(client.isConnected, true);
    assert.equal(sockets.length, 2);
  });

  test("has its own time, and is not mistaken for a wait", (t) => {
    const { client, sockets, clock } = makeWorld(t, { connectTimeout: 500, repeatLimit: 0 });
    client.connect();
    client.connect();
    assert.equal(sockets.length, 1);
    clock.advance(500);
    assert.equal(client.isReconnecting, false);
    assert.equal(clock.timers.size, 0);
    const endless = makeWorld(t, { connectTimeout: 0 });
    endless.client.connect();
    assert.equal(endless.clock.timers.size, 0);
  });

  test("that ends leaves no time limit behind", (t) => {
    const { client, sockets, clock } = makeWorld(t, { pingInterval: 0 });
    client.connect();
    sockets[0].accept();
    assert.equal(clock.timers.size, 0);
    client.reconnect();
    client.close();
    assert.equal(clock.timers.size, 0);
  });

  test("that fails says what is the matter: each to the listeners, the first to the console", (t) => {
    const { client, sockets, clock, failures, warnings } = makeWorld(t, { params: { token: "secret" } });
    client.connect();
    sockets[0].onerror({ error: new Error("refused") });
    assert.deepEqual(failures, [["unreachable", "refused", 1]]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /cannot connect to ws:\/\/host\/chat\. refused/);
    clock.advance(3000);
    sockets[1].fail();
    clock.advance(3000);
    sockets[2].end(1006);
    assert.deepEqual(failures.slice(1).map(([, reason, attempt]) => [reason, attempt]), [
      ["No WebSocket there, or none for this page.", 2], ["Closed: 1006 ", 3],
    ]);
    clock.advance(3000);
    sockets[3].accept();
    sockets[3].end(1006);
    assert.equal(failures.length, 3, "the end of a connection is no failed attempt");
    clock.advance(3000);
    clock.advance(10000);
    assert.deepEqual(failures[3], ["unreachable", "No answer came in 10000 ms.", 1]);
    assert.equal(warnings.length, 2);
    assert.ok(!warnings.join().includes("secret"));
  });

  test("is the last for connect() after so many attempts", async (t) => {
    const { client, sockets, clock, log } = makeWorld(t, { attempts: 2 });
    let error;
    client.connect().catch((reason) => (error = reason));
    sockets[0].fail();
    await null;
    assert.equal(error, undefined);
    clock.advance(3000);
    sockets[1].onerror({ error: new Error("refused") });
    await null;
    assert.equal(error.name, "NotConnected");
    assert.match(error.message, /refused/);
    assert.equal(client.isReconnecting, false);
    assert.equal(clock.timers.size, 0);
    assert.deepEqual(names(log).at(-1), "close");
    client.connect();
    sockets[2].accept();
    sockets[2].end(1006);
    for (let i = 3; i < 8; i++) {
      clock.advance(1e5);
      sockets[i].fail();
    }
    assert.equal(client.isReconnecting, true, "a connection that was open is not given up by it");
  });
});

describe("close", () => {
  test("closes with 4001, and does not come back", (t) => {
    const { client, socket, sockets, clock, log } = makeConnected(t);
    client.close();
    assert.equal(socket.closed[0], 4001);
    assert.deepEqual([client.isConnected, client.isReconnecting], [false, false]);
    socket.end(4001);
    clock.advance(1e6);
    client.close();
    assert.deepEqual(log.map(([event, code]) => [event, code]), [["close", 4001]], "once, and without a wait");
    assert.equal(sockets.length, 1);
    assert.equal(clock.timers.size, 0);
  });

  test("ends the wait for an attempt, and an attempt", (t) => {
    const { client, sockets, clock } = makeConnected(t);
    sockets[0].end(1001);
    client.close();
    assert.equal(client.isReconnecting, false);
    clock.advance(1e6);
    assert.equal(sockets.length, 1);
    client.connect();
    client.close();
    assert.equal(sockets[1].closed[0], 4001);
    sockets[1].onopen({});
    assert.equal(client.isConnected, false);
  });

  test("in a listener of close keeps the client from reconnecting", (t) => {
    const { client, socket, sockets, clock, log } = makeConnected(t);
    client.lifecycle.on("close", () => client.close());
    socket.end(1001);
    clock.advance(1e6);
    assert.deepEqual(names(log), ["close"]);
    assert.equal(sockets.length, 1);
    assert.equal(client.isReconnecting, false);
  });

  test("in a listener of open leaves no heartbeat", (t) => {
    const { client, sockets, clock } = makeWorld(t);
    client.lifecycle.on("open", () => client.close());
    client.connect();
    sockets[0].accept();
    assert.equal(clock.timers.size, 0);
  });
});

describe("reconnecting", () => {
  /** The delays of so many failed attempts in a row. */
  const delaysOf = ({ clock, log, client, sockets }, count) => {
    client.connect();
    for (let i = 0; i < count; i++) {
      sockets.at(-1).fail();
      clock.advance(log.at(-1)[2]);
    }
    return log.filter(([event]) => event === "reconnect").map(([, attempt, delay]) => [attempt, delay]);
  };

  test("waits: quick ones first, then doubled with jitter, never longer than the longest", (t) => {
    const world = makeWorld(t, { random: () => 0.5 });
    assert.deepEqual(delaysOf(world, 10), [
      [1, 1500], [2, 1500], [3, 1500], [4, 7500], [5, 13500], [6, 25500], [7, 49500], [8, 97500], [9, 118500],
      [10, 118500],
    ]);
    assert.equal(world.sockets.length, 11);
  });

  test("is spread from the first attempt on: each wait lies within the last interval of what it may be", (t) => {
    for (const [chance, first, slow, longest] of [[0, 3000, 9000, 120000], [0.75, 750, 6750, 117750]]) {
      const delays = delaysOf(makeWorld(t, { random: () => chance }), 9).map(([, delay]) => delay);
      assert.deepEqual([delays[0], delays[2], delays[3], delays[8]], [first, first, slow, longest]);
      t.mock.restoreAll();
    }
    const hasty = delaysOf(makeWorld(t, { reconnectMaxInterval: 2000, random: () => 0.5 }), 5);
    assert.deepEqual(new Set(hasty.map(([, delay]) => delay)), new Set([1000]), "nor do they all come at the limit");
  });

  test("does not wait where the interval is 0", (t) => {
    const world = makeWorld(t, { fastReconnectInterval: 0 });
    assert.deepEqual(new Set(delaysOf(world, 1200).map(([, delay]) => delay)), new Set([0]));
  });

  test("has a schedule of its own making", (t) => {
    const world = makeWorld(t, {
      fastReconnectThreshold: 1, fastReconnectInterval: 10, reconnectMaxInterval: 55,
    });
    assert.deepEqual(delaysOf(world, 4), [[1, 10], [2, 30], [3, 50], [4, 55]]);
  });

  test("waits no longer than the longest from the first attempt on, and for ever", (t) => {
    const world = makeWorld(t, { fastReconnectInterval: 3000, reconnectMaxInterval: 2000 });
    assert.deepEqual(new Set(delaysOf(world, 1200).map(([, delay]) => delay)), new Set([2000]));
  });

  test("tries when the time has come, not sooner", (t) => {
    const { client, socket, sockets, clock, log } = makeConnected(t);
    socket.end(1001, "bye");
    assert.deepEqual(log, [["close", 1001, "bye"], ["reconnect", 1, 3000]]);
    assert.equal(socket.closed, null, "it is closed already");
    assert.deepEqual([client.isConnected, client.isReconnecting], [false, true]);
    clock.advance(2999);
    assert.equal(sockets.length, 1);
    clock.advance(1);
    assert.equal(sockets.length, 2);
    assert.equal(client.isReconnecting, true);
    sockets[1].accept();
    assert.deepEqual([client.isConnected, client.isReconnecting], [true, false]);
  });

  test("counts from 1 again after a success", (t) => {
    const { sockets, clock, log } = makeConnected(t, { fastReconnectThreshold: 1 });
    sockets[0].end(1006);
    clock.advance(3000);
    sockets[1].accept();
    sockets[1].end(1006);
    assert.deepEqual(log.at(-1), ["reconnect", 1, 3000]);
  });

  for (const code of [4001, 4010, 4011, 4012]) {
    test(`is not done after ${code}`, (t) => {
      const { client, socket, clock, log } = makeConnected(t);
      socket.end(code, "final");
      assert.deepEqual(log, [["close", code, "final"]]);
      assert.equal(client.isReconnecting, false);
      assert.equal(clock.timers.size, 0);
    });
  }

  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 4000, 4002, 4008, 4009, 4013]) {
    test(`is done after ${code}`, (t) => {
      const { client, socket } = makeConnected(t);
      socket.end(code);
      assert.equal(client.isReconnecting, true);
    });
  }

  for (const [reason, delay] of [
    ["retry-after=1.25", 1250], ["restarting; retry-after=0", 0], ["retry-after=61", 60000], ["retry-after=1e9", 1000],
    ["retry-after=" + "9".repeat(100), 60000], ["", 3000], ["retry-after=-1", 3000], ["retry-after=NaN", 3000],
    ["retry-after=.5", 3000], ["noretry-after=1", 3000],
  ]) {
    test(`comes when a server that is being restarted says so: ${reason.slice(0, 30)}`, (t) => {
      const { socket, sockets, clock, log } = makeConnected(t);
      socket.end(1012, reason);
      assert.deepEqual(log.at(-1), ["reconnect", 1, delay]);
      clock.advance(delay);
      assert.equal(sockets.length, 2);
      sockets[1].fail();
      assert.deepEqual(log.at(-1), ["reconnect", 2, 3000], "then the schedule goes on");
    });
  }

  test("takes such a hint of a restarted server alone, and never waits longer than the longest", (t) => {
    const other = makeConnected(t);
    other.socket.end(1001, "retry-after=1");
    assert.deepEqual(other.log.at(-1), ["reconnect", 1, 3000]);
    const impatient = makeConnected(t, { reconnectMaxInterval: 2000 });
    impatient.socket.end(1012, "retry-after=50");
    assert.deepEqual(impatient.log.at(-1), ["reconnect", 1, 2000]);
  });

  test("reconnectOn decides instead", (t) => {
    const asked = [];
    const reconnectOn = (code, reason) => {
      asked.push([code, reason]);
      return code === 4011;
    };
    const { client, sockets, clock } = makeConnected(t, { reconnectOn });
    sockets[0].end(4011, "token expired");
    assert.equal(client.isReconnecting, true);
    clock.advance(3000);
    sockets[1].fail();
    assert.equal(client.isReconnecting, false);
    assert.deepEqual(asked, [[4011, "token expired"], [1006, ""]]);
  });

  test("a reconnectOn that throws is reported, and means no", (t) => {
    const reconnectOn = () => { throw new Error("oops"); };
    const { client, socket, complaints } = makeConnected(t, { reconnectOn });
    socket.end(1001);
    assert.equal(client.isReconnecting, false);
    assert.equal(complaints.length, 1);
  });

  test("an error ends the connection, even without a close after it", (t) => {
    const { client, socket, log } = makeConnected(t);
    const error = new Error("reset");
    socket.onerror({ error });
    assert.deepEqual(log, [["error", error], ["close", 1006, ""], ["reconnect", 1, 3000]]);
    assert.deepEqual([client.isConnected, client.isReconnecting], [false, true]);
    assert.equal(socket.closed[0], 1000);
  });

  test("an error and the close that follows it are one loss", (t) => {
    const { socket, log } = makeConnected(t);
    socket.fail();
    assert.deepEqual(names(log), ["error", "close", "reconnect"]);
    assert.ok(log[0][1] instanceof Error, "a browser's error event tells nothing, so there is an Error in its place");
  });

  test("is given up after repeatLimit failed attempts", (t) => {
    const { client, sockets, clock, log } = makeConnected(t, { repeatLimit: 2 });
    sockets[0].end(1006);
    for (const i of [1, 2]) {
      clock.advance(3000);
      sockets[i].fail();
    }
    assert.deepEqual(log.filter(([event]) => event !== "error" && event !== "close"), [
      ["reconnect", 1, 3000], ["reconnect", 2, 3000], ["repeatLimit", 2],
    ]);
    assert.equal(log.at(-1)[0], "repeatLimit");
    assert.equal(client.isReconnecting, false);
    assert.equal(clock.timers.size, 0);
  });

  test("what a socket does after it was given up is ignored", (t) => {
    const { client, socket, sockets, log } = makeConnected(t);
    const heard = [];
    client.on("say", (payload) => heard.push(payload));
    client.reconnect();
    sockets[1].accept();
    log.length = 0;
    socket.receive({ event: "say", payload: "old" });
    socket.onopen({});
    socket.fail();
    assert.deepEqual([heard, log], [[], []]);
    assert.equal(client.isConnected, true);
    sockets[1].receive({ event: "say", payload: "new" });
    assert.deepEqual(heard, ["new"]);
  });
});

describe("reconnect()", () => {
  test("drops the connection, and connects now", (t) => {
    const { client, socket, sockets, log } = makeConnected(t);
    client.reconnect();
    assert.equal(socket.closed[0], 1000);
    assert.equal(sockets.length, 2);
    assert.deepEqual([client.isConnected, client.isReconnecting], [false, true]);
    sockets[1].accept();
    assert.deepEqual(names(log), ["close", "open"]);
    assert.deepEqual([client.isConnected, client.isReconnecting], [true, false]);
  });

  test("does not wait for the next attempt, which keeps its number", (t) => {
    const { client, sockets, clock, log } = makeConnected(t);
    sockets[0].end(1006);
    client.reconnect();
    assert.equal(sockets.length, 2);
    sockets[1].fail();
    assert.deepEqual(log.at(-1), ["reconnect", 2, 3000]);
    clock.advance(3000);
    assert.equal(sockets.length, 3, "the wait that it ended does not try on its own");
  });

  test("with reset counts from 1 again", (t) => {
    const { client, sockets, log } = makeConnected(t);
    sockets[0].end(1006);
    client.reconnect(true);
    sockets[1].fail();
    assert.deepEqual(log.at(-1), ["reconnect", 1, 3000]);
  });

  test("connects a client that never was, and one that was closed", (t) => {
    const { client, sockets, log } = makeWorld(t);
    client.reconnect();
    sockets[0].accept();
    client.close();
    client.reconnect();
    sockets[1].accept();
    assert.deepEqual(names(log), ["open", "close", "open"]);
  });

  test("keeps the promise of connect()", async (t) => {
    const { client, sockets } = makeWorld(t);
    const connected = client.connect();
    client.reconnect();
    sockets[1].accept();
    await connected;
  });

  test("in a listener of close is not followed by a scheduled attempt", (t) => {
    const { client, sockets, clock, log } = makeConnected(t);
    client.lifecycle.once("close", () => client.reconnect());
    sockets[0].end(1001);
    sockets[1].accept();
    clock.advance(9000);
    assert.equal(sockets.length, 2);
    assert.deepEqual(names(log), ["close", "open"]);
  });
});

/** A page around the client, whose events the test fires. It knows how many listeners it has. */
const makePage = (t, options) => {
  const listeners = new Set();
  const key = (name, listener, isCapture) => [name, isCapture, listener];
  globalThis.addEventListener = (name, listener, isCapture) => {
    if (![...listeners].some((each) => each[0] === name && each[2] === listener)) {
      listeners.add(key(name, listener, isCapture));
    }
  };
  globalThis.removeEventListener = (name, listener, isCapture) => {
    for (const each of listeners) {
      if (each[0] === name && each[1] === isCapture && each[2] === listener) listeners.delete(each);
    }
  };
  t.after(() => {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  });
  const fire = (type, persisted) => {
    // What happens to the document passes the window on its way down, and only then.
    for (const [name, isCapture, listener] of listeners) if (name === type && isCapture) listener({ type, persisted });
  };
  return { ...makeConnected(t, options), fire, listeners };
};

describe("the page comes online", () => {
  test("while the client waits: it tries sooner, but not all clients in the same moment, and once", (t) => {
    const chances = [0, 0, 0.5, 0.75];
    const { sockets, clock, log, fire } = makePage(t, {
      fastReconnectThreshold: 0, fastReconnectInterval: 4000, random: () => chances.shift() ?? 0,
    });
    sockets[0].end(1006);
    clock.advance(12000);
    sockets[1].fail();
    assert.deepEqual(log.at(-1), ["reconnect", 2, 20000]);
    fire("online");
    fire("online");
    assert.equal(sockets.length, 2, "not at once");
    clock.advance(1999);
    assert.equal(sockets.length, 2);
    clock.advance(1);
    assert.equal(sockets.length, 3);
    clock.advance(9000);
    assert.equal(sockets.length, 3, "the wait is over");
    sockets[2].fail();
    assert.equal(log.at(-1)[1], 3, "the event does not reset the count");
  });

  test("while the client waits for less: nothing is later for it", (t) => {
    const chances = [0.9, 0.9];
    const { sockets, clock, fire } = makePage(t, { random: () => chances.shift() });
    sockets[0].end(1006);
    fire("online");
    clock.advance(300);
    assert.equal(sockets.length, 2);
    clock.advance(9000);
    assert.equal(sockets.length, 2);
  });

  test("while it is connected, closed or given up: nothing happens, and the page does not hold it", (t) => {
    const { client, sockets, clock, fire, listeners } = makePage(t);
    fire("online");
    clock.advance(9000);
    sockets[0].end(1006);
    fire("online");
    client.close();
    fire("online");
    clock.advance(9000);
    assert.equal(sockets.length, 1);
    assert.equal(listeners.size, 0);
    client.connect();
    client.reconnect();
    sockets[2].accept();
    sockets[2].end(4010);
    assert.equal(listeners.size, 0);
  });
});

describe("the page", () => {
  for (const [how, hide, show] of [
    ["is frozen", [["freeze"]], [["resume"]]],
    ["is put aside", [["pagehide", true]], [["pageshow", true]]],
    ["is put aside and frozen", [["pagehide", true], ["freeze"]], [["resume"], ["pageshow", true]]],
  ]) {
    test(`${how}: the client says goodbye at once, and is back at once when it is shown`, (t) => {
      const { client, sockets, clock, log, fire } = makePage(t);
      const call = client.call("a");
      for (const event of hide) fire(...event);
      assert.equal(sockets[0].closed[0], 4001);
      assert.deepEqual(log, [["close", 4001, "The page is frozen."]]);
      assert.deepEqual([client.isConnected, client.isReconnecting], [false, true]);
      const connected = client.connect();
      clock.advance(1e6);
      assert.equal(sockets.length, 1, "not while it is hidden");
      for (const event of show) fire(...event);
      assert.equal(sockets.length, 2);
      sockets[1].accept();
      assert.deepEqual(names(log), ["close", "open"]);
      return Promise.all([connected, assert.rejects(call, CrossWS.NotConnected)]);
    });
  }

  test("is left for good, or was never hidden: nothing happens", (t) => {
    const { client, sockets, fire } = makePage(t);
    for (const event of [["pagehide", false], ["resume"], ["pageshow", false], ["pageshow", true]]) fire(...event);
    assert.equal(client.isConnected, true);
    assert.equal(sockets.length, 1);
  });

  test("is frozen while the client waits, or tries: it goes on when the page is shown", (t) => {
    const { client, sockets, clock, fire, log } = makePage(t);
    sockets[0].end(1006);
    fire("freeze");
    clock.advance(1e6);
    assert.equal(sockets.length, 1);
    fire("resume");
    assert.equal(sockets.length, 2);
    fire("freeze");
    assert.equal(sockets[1].closed[0], 4001);
    clock.advance(1e6);
    fire("resume");
    sockets[2].accept();
    assert.equal(client.isConnected, true);
    assert.deepEqual(log.at(-1), ["open"]);
  });

  test("is frozen when the client is closed, or closes while it is: it stays closed", (t) => {
    const { client, sockets, fire, listeners } = makePage(t);
    fire("freeze");
    client.close();
    fire("resume");
    fire("freeze");
    fire("resume");
    assert.equal(sockets.length, 1);
    assert.equal(client.isReconnecting, false);
    assert.equal(listeners.size, 0);
  });
});

describe("the heartbeat", () => {
  test("is sent each pingInterval, and its answer gives the latency", (t) => {
    const { client, socket, clock, log } = makeConnected(t);
    assert.equal(client.latency, null);
    clock.advance(9999);
    assert.deepEqual(socket.sent, []);
    clock.advance(1);
    assert.deepEqual(socket.sent, [""]);
    clock.advance(35);
    socket.receive("");
    assert.equal(client.latency, 35);
    clock.advance(9965);
    assert.deepEqual(socket.sent, ["", ""]);
    assert.deepEqual(log, [["ping"], ["pong", 35], ["ping"]]);
  });

  test("without an answer in time: the connection is lost, and the client comes back", async (t) => {
    const { client, socket, sockets, clock, log } = makeConnected(t, { callTimeout: 60000 });
    const call = client.call("a");
    clock.advance(11999);
    assert.deepEqual(names(log), ["ping"]);
    clock.advance(1);
    assert.deepEqual(names(log), ["ping", "pongTimeout", "close", "reconnect"]);
    assert.deepEqual(log.slice(1).map(([, code]) => code), [undefined, 4002, 1]);
    assert.equal(log[1].length, 1);
    assert.equal(socket.closed[0], 4002);
    await assert.rejects(call, CrossWS.NotConnected);
    socket.receive("");
    socket.end(4002);
    clock.advance(3000);
    sockets[1].accept();
    assert.deepEqual(names(log), ["ping", "pongTimeout", "close", "reconnect", "open"]);
    clock.advance(10000);
    assert.deepEqual(sockets[1].sent, [""], "the new connection has its own heartbeat");
  });

  test("has its text, which is never read as a frame", (t) => {
    const pingMessage = '{"event":"ping"}';
    const { client, socket, clock, log } = makeConnected(t, { pingMessage });
    client.on("ping", () => assert.fail("The heartbeat is not an event."));
    clock.advance(10000);
    assert.deepEqual(socket.sent, [pingMessage]);
    socket.receive(pingMessage);
    socket.receive(pingMessage);
    assert.deepEqual(names(log), ["ping", "pong"], "without a ping there is no pong");
    socket.receive("");
    assert.deepEqual(log.at(-1), ["message", ""]);
  });

  test("has its own times, and does not go out while one is unanswered", (t) => {
    const { socket, clock, log } = makeConnected(t, { pingInterval: 1000, pongTimeout: 2500 });
    clock.advance(3499);
    assert.deepEqual(socket.sent, [""]);
    clock.advance(1);
    assert.equal(log.at(-3)[0], "pongTimeout");
  });

  test("is not sent to a connection that is closing, of which browsers complain", (t) => {
    const { socket, clock } = makeConnected(t);
    socket.readyState = 2;
    clock.advance(1e5);
    assert.deepEqual(socket.sent, []);
  });

  test("of 0 is none", (t) => {
    const { client, socket, clock } = makeConnected(t, { pingInterval: 0 });
    clock.advance(1e6);
    assert.deepEqual(socket.sent, []);
    assert.equal(client.pingInterval, 0);
  });

  test("can be changed at any time, and counts from then", (t) => {
    const { client, socket, clock } = makeConnected(t);
    clock.advance(9000);
    client.pingInterval = 5000;
    assert.equal(client.pingInterval, 5000);
    clock.advance(4999);
    assert.deepEqual(socket.sent, []);
    clock.advance(1);
    assert.deepEqual(socket.sent, [""]);
  });

  test("can be turned off while its answer is awaited", (t) => {
    const { client, clock, log } = makeConnected(t);
    clock.advance(10000);
    client.pingInterval = 0;
    clock.advance(1e6);
    assert.deepEqual(names(log), ["ping"]);
    assert.equal(client.isConnected, true);
  });

  test("can be sent at once, with a new interval", (t) => {
    const { client, socket, clock } = makeConnected(t);
    client.setPingInterval(4000, true);
    assert.deepEqual(socket.sent, [""]);
    client.setPingInterval(4000, true);
    assert.deepEqual(socket.sent, [""], "not while one is unanswered");
    socket.receive("");
    clock.advance(4000);
    assert.deepEqual(socket.sent, ["", ""]);
  });

  test("set before there is a connection, it is that of the first one", (t) => {
    const { client, sockets, clock } = makeWorld(t);
    client.setPingInterval(500, true);
    client.connect();
    client.setPingInterval(400, true);
    sockets[0].accept();
    clock.advance(400);
    assert.deepEqual(sockets[0].sent, [""]);
  });

  test("refuses what is no time", (t) => {
    const { client } = makeWorld(t);
    for (const wrong of [-1, NaN, Infinity, "5", null, undefined]) {
      assert.throws(() => client.setPingInterval(wrong), { name: "TypeError", message: /pingInterval/ });
      assert.throws(() => (client.pingInterval = wrong), TypeError);
    }
    assert.equal(client.pingInterval, 10000);
  });

  test("latency belongs to one connection", (t) => {
    const { client, socket, clock } = makeConnected(t);
    clock.advance(10000);
    socket.receive("");
    assert.equal(client.latency, 0);
    socket.end(1006);
    assert.equal(client.latency, null);
  });
});
