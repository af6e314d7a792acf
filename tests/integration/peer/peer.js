// A server of a Node.js cluster and its clients, for the tests: what the wire is said to be, and nothing besides.
//
//     node peer.js '{"name": "peerC", "redis": "redis://127.0.0.1:6379", "compression": true}'
//
// It does what lines of JSON on standard input say, and tells on standard output what came of it and what it saw:
//
//     <  {"id": 1, "do": "emit", "event": "say", "payload": {"msg": "hi"}}      a method of Server or Clients below
//     >  {"id": 1, "is": null}                                                  what it returned
//     >  {"id": 2, "error": "…"}                                                or how it failed
//     >  {"saw": {"channel": "csbp:server_bridge", "packet": {…}}}              each packet, before anything is made of it
//     >  {"heard": {"event": "say", "senderServer": "serverA", …}}              an event that concerns this server
//     >  {"frame": {"text": "…", "to": ["7"]}}                                  what its own sockets would get
//     >  {"client": {"name": "sam", "event": "said", "payload": 1}}             what a real client got
//
// JSON has no bytes and no dates: they are {"$bytes": "00ff"} and {"$date": 1767323045500} in both directions.
"use strict";

const { createInterface } = require("node:readline");
const Redis = require("ioredis");
const notepack = require("notepack.io");
const WebSocket = require("ws");

const BRIDGE = "csbp:server_bridge";
const PRIVATE = "ws:private_socket";
const BROADCAST = "ws:broadcast";
const REPLY = "_Cs_Cb_";

const roomChannel = (namespace) => (namespace.startsWith("ws:") ? namespace : `ws:${namespace}`);
const frameOf = (event, payload) => JSON.stringify({ event, payload });
const base36 = (number) => Math.floor(number).toString(36);

/** A server: one connection to publish on, one that packets come in by. */
class Server {
  #calls = new Map();
  #answers = new Map();
  #sockets = new Map();
  #channels;
  #count = 0;

  constructor({ name, redis, compression = true, namespaces = [], channels = [] }) {
    this.name = name;
    this.compression = compression;
    this.publisher = new Redis(redis);
    this.subscriber = new Redis(redis);
    this.subscriber.on("messageBuffer", (channel, bytes) => this.#received(channel.toString(), bytes));
    for (const each of [this.publisher, this.subscriber]) each.on("error", (error) => tell({ fault: error.message }));
    this.#channels = [BRIDGE, PRIVATE, BROADCAST, ...namespaces.map(roomChannel), ...channels];
  }

  /** Hear everything that this server hears. */
  async start() {
    await this.subscriber.subscribe(...this.#channels);
  }

  /** Its own sockets, by id: the rooms that each is in. They are none; what they would get is told. */
  sockets({ rooms }) {
    this.#sockets = new Map(Object.entries(rooms));
  }

  /** What this server replies to an event from now on; nothing, if there is no `reply`. */
  answer({ event, reply, echo = false }) {
    this.#answers.set(event, { reply, echo });
  }

  /** An event for servers; nobody is to reply. */
  emit({ event, payload, to = [] }) {
    return this.#publish(BRIDGE, { data: { event, senderServer: this.name, payload, targetServer: to } });
  }

  /** An event that wants replies; gives the whole inner maps of those that came, until there are enough or it is late. */
  call({ event, payload, to = [], expected = 1, timeout = 5 }) {
    const callbackId = `${this.name.slice(-6)}-${base36(Date.now())}-${base36(Math.random() * 36 ** 4)}-${++this.#count}`;
    const replies = [];
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#calls.delete(callbackId);
        resolve(replies);
      };
      const timer = setTimeout(end, timeout * 1000);
      this.#calls.set(callbackId, (data) => replies.push(data) === expected && end());
      const data = { event, senderServer: this.name, payload, targetServer: to, callbackId };
      this.#publish(BRIDGE, { data });
    });
  }

  send({ socketId, event, payload }) {
    const data = frameOf(event, payload);
    this.#deliver([socketId], data);
    return this.#publish(PRIVATE, { data, socketId, senderServer: this.name });
  }

  sendMany({ socketIds, event, payload }) {
    const data = frameOf(event, payload);
    this.#deliver(socketIds, data);
    return this.#publish(PRIVATE, { data, socketIds, senderServer: this.name });
  }

  broadcast({ event, payload }) {
    const data = frameOf(event, payload);
    this.#deliver([...this.#sockets.keys()], data);
    return this.#publish(BROADCAST, { data, senderServer: this.name });
  }

  toRoom({ namespace, roomId, event, payload, exclude = [] }) {
    const data = frameOf(event, payload);
    this.#deliver(this.#members(namespace, roomId, exclude), data);
    const about = { roomNamespace: namespace, roomId, senderServer: this.name, excludeSocketIds: exclude };
    return this.#publish(roomChannel(namespace), { data, ...about });
  }

  /** A map on a custom channel. */
  publish({ channel, map }) {
    return this.#publish(channel, map);
  }

  /** Any bytes on any channel, as a peer that is broken would. */
  publishBytes({ channel, bytes }) {
    return this.publisher.publish(channel, bytes);
  }

  async stop() {
    await Promise.all([this.publisher.quit(), this.subscriber.quit()]);
  }

  #publish(channel, packet) {
    return this.publisher.publish(channel, this.compression ? notepack.encode(packet) : JSON.stringify(packet));
  }

  #received(channel, bytes) {
    try {
      const packet = this.compression ? notepack.decode(bytes) : JSON.parse(bytes.toString());
      tell({ saw: { channel, packet } });
      if ((packet.data?.senderServer ?? packet.senderServer) !== this.name) this.#concerns(channel, packet);
    } catch (error) {
      tell({ fault: `A packet on ${channel} is dropped: ${error.message}` });
    }
  }

  #concerns(channel, packet) {
    if (channel === BRIDGE) this.#bridged(packet.data);
    else if (channel === BROADCAST) this.#deliver([...this.#sockets.keys()], packet.data);
    else if (channel === PRIVATE) this.#deliver(packet.socketIds ?? [packet.socketId], packet.data);
    else if (channel.startsWith("ws:")) {
      this.#deliver(this.#members(packet.roomNamespace, packet.roomId, packet.excludeSocketIds), packet.data);
    }
  }

  #bridged(data) {
    if (data.isCallback) {
      this.#calls.get(data.callbackId)?.(data);
      return;
    }
    if (data.targetServer.length > 0 && !data.targetServer.includes(this.name)) return;
    tell({ heard: data });
    const { reply, echo } = this.#answers.get(data.event) ?? {};
    const payload = echo ? data.payload : reply;
    if (data.callbackId === undefined || payload === undefined) return;
    const about = { event: REPLY, senderServer: this.name, targetServer: [], callbackId: data.callbackId };
    this.#publish(BRIDGE, { data: { ...about, isCallback: true, payload } });
  }

  #members(namespace, roomId, exclude) {
    const isIn = ([socketId, rooms]) =>
      !exclude.includes(socketId) && rooms.some((room) => room[0] === namespace && room[1] === roomId);
    return [...this.#sockets].filter(isIn).map(([socketId]) => socketId);
  }

  #deliver(socketIds, text) {
    const to = socketIds.filter((socketId) => this.#sockets.has(socketId));
    if (to.length > 0) tell({ frame: { text, to } });
  }
}

/** Clients of any server, as the JavaScript client of the cluster is one. */
class Clients {
  #clients = new Map();

  /** Connect; done when the connection is open. */
  open({ client: name, url }) {
    const socket = new WebSocket(url);
    const client = { socket, calls: new Map(), beats: [], count: 0 };
    this.#clients.set(name, client);
    socket.on("message", (bytes) => this.#received(name, client, bytes.toString()));
    socket.on("close", (code) => tell({ client: { name, closed: code } }));
    return new Promise((resolve, reject) => {
      socket.once("open", () => resolve());
      socket.once("error", reject);
    });
  }

  say({ client, event, payload }) {
    this.#clients.get(client).socket.send(frameOf(event, payload));
  }

  /** An event that wants a reply; gives that. */
  ask({ client: name, event, payload, timeout = 5 }) {
    const client = this.#clients.get(name);
    const callbackId = `${Date.now()}${++client.count}`;
    client.socket.send(JSON.stringify({ event, payload, callbackId }));
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`No reply to ${event} came.`));
      const timer = setTimeout(late, timeout * 1000);
      client.calls.set(callbackId, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
    });
  }

  /** A heartbeat; done when it comes back. */
  beat({ client: name }) {
    const client = this.#clients.get(name);
    client.socket.send("");
    return new Promise((resolve) => client.beats.push(resolve));
  }

  leave({ client }) {
    this.#clients.get(client).socket.close(4001, "client closed");
  }

  #received(name, client, text) {
    if (text === "") {
      client.beats.shift()();
      return;
    }
    const { event, payload, callbackId } = JSON.parse(text);
    if (callbackId === undefined) tell({ client: { name, event, payload } });
    else client.calls.get(callbackId)(payload);
  }
}

function tell(what) {
  const shown = function (key, value) {
    const raw = this[key];
    if (raw instanceof Uint8Array) return { $bytes: Buffer.from(raw).toString("hex") };
    return raw instanceof Date ? { $date: raw.getTime() } : value;
  };
  process.stdout.write(`${JSON.stringify(what, shown)}\n`);
}

function read(line) {
  return JSON.parse(line, (key, value) => {
    if (typeof value?.$bytes === "string") return Buffer.from(value.$bytes, "hex");
    return typeof value?.$date === "number" ? new Date(value.$date) : value;
  });
}

async function main() {
  const server = new Server(JSON.parse(process.argv[2]));
  const clients = new Clients();
  await server.start();
  tell({ ready: server.name });
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, do: what, ...rest } = read(line);
    const target = what in clients ? clients : server;
    Promise.resolve()
      .then(() => target[what](rest))
      .then((is) => tell({ id, is: is ?? null }))
      .catch((error) => tell({ id, error: error.message }));
  }
  await server.stop();
  // After large packets the parser of ioredis keeps a timer for a while.
  process.exit();
}

main();
