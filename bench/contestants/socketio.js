// An echo, and a room: Socket.IO.
//
//     node socketio.js PORT
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });

io.on("connection", (socket) => {
  socket.on("echo", (payload, reply) => reply(payload));
  socket.on("joinRoom", ({ roomId }) => socket.join(roomId));
  socket.on("shout", (payload) => io.to("1000").emit("say", payload));
});

http.listen(Number(process.argv[2]), "127.0.0.1");
