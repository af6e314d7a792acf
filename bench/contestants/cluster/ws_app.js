// Plain ws, with Redis between its processes by ioredis: a room, and servers that call each other.
"use strict";

const Redis = require("ioredis");
const { decode, encode } = require("notepack.io");
const { WebSocketServer } = require("ws");
const { offerControl } = require("./control.js");

const name = process.env.NAME;
const publisher = new Redis(process.env.REDIS);
const subscriber = new Redis(process.env.REDIS);
const rooms = new Map();
const calls = new Map();
let lastId = 0;

const publish = (channel, packet) => publisher.publish(channel, encode({ ...packet, sender: name }));

function sendToRoom(room, frame) {
  for (const socket of rooms.get(room) ?? []) if (socket.readyState === socket.OPEN) socket.send(frame);
}

function join(socket, room) {
  if (!rooms.has(room)) rooms.set(room, new Set());
  rooms.get(room).add(socket);
  socket.on("close", () => rooms.get(room).delete(socket));
}

function shout(payload) {
  const frame = JSON.stringify({ event: "say", payload });
  sendToRoom("1000", frame);
  publish("room", { room: "1000", frame });
}

function call(target, payload) {
  const id = ++lastId;
  publish("calls", { id, target, payload });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => { calls.delete(id); reject(new Error("no reply")); }, 5000);
    calls.set(id, (reply) => { clearTimeout(timer); calls.delete(id); resolve(reply); });
  });
}

subscriber.on("messageBuffer", (channel, bytes) => {
  const packet = decode(bytes);
  if (packet.sender === name) return;
  if (channel.toString() === "room") sendToRoom(packet.room, packet.frame);
  else if (packet.target !== name) return;
  else if (packet.isReply) calls.get(packet.id)?.(packet.payload);
  else publish("calls", { id: packet.id, target: packet.sender, isReply: true, payload: packet.payload });
});

subscriber.subscribe("room", "calls").then(async () => {
  new WebSocketServer({ port: Number(process.env.PORT), host: "127.0.0.1" }).on("connection", (socket) => {
    socket.on("message", (text) => {
      const { event, payload } = JSON.parse(text);
      if (event === "joinRoom") join(socket, payload.roomId);
      else if (event === "shout") shout(payload);
    });
  });
  while ((await publisher.pubsub("NUMSUB", "calls"))[1] < 2) await new Promise((done) => setTimeout(done, 50));
  offerControl((payload) => call("nodeB", payload));
});
