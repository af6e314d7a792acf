// Socket.IO with its Redis adapter: a room, and servers that call each other.
"use strict";

const { createServer } = require("node:http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { offerControl } = require("./control.js");

async function main() {
  const publisher = createClient({ url: process.env.REDIS });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);

  const http = createServer();
  const io = new Server(http, { transports: ["websocket"], adapter: createAdapter(publisher, subscriber) });
  io.on("connection", (socket) => {
    socket.on("joinRoom", ({ roomId }) => socket.join(roomId));
    socket.on("shout", (payload) => io.to("1000").emit("say", payload));
  });
  io.on("echo", (payload, reply) => reply(payload));
  http.listen(Number(process.env.PORT), "127.0.0.1");

  while ((await io.of("/").adapter.serverCount()) < 2) await new Promise((done) => setTimeout(done, 50));
  offerControl(async (payload) => (await io.serverSideEmitWithAck("echo", payload))[0]);
}

main();
