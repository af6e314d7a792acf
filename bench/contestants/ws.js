// An echo, and a room: plain ws, with JSON, and the heartbeat of its documentation.
//
//     node ws.js PORT
"use strict";

const { WebSocketServer, WebSocket } = require("ws");

const rooms = new Map();

function toRoom(name, event, payload) {
  const text = JSON.stringify({ event, payload });
  for (const socket of rooms.get(name) ?? []) {
    if (socket.readyState === WebSocket.OPEN) socket.send(text);
  }
}

const listeners = {
  echo: (socket, payload) => payload,

  joinRoom(socket, { roomId }) {
    if (!rooms.has(roomId)) rooms.set(roomId, new Set());
    rooms.get(roomId).add(socket);
    socket.joined.add(roomId);
  },

  shout: (socket, payload) => toRoom("1000", "say", payload),
};

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });

server.on("connection", (socket, request) => {
  socket.id = new URL(request.url, "ws://localhost").searchParams.get("id");
  socket.joined = new Set();
  socket.isAlive = true;
  socket.on("error", console.error);
  socket.on("pong", () => (socket.isAlive = true));
  socket.on("message", (data) => {
    const { event, payload, callbackId } = JSON.parse(data);
    const result = listeners[event]?.(socket, payload);
    if (callbackId !== undefined) socket.send(JSON.stringify({ payload: result, callbackId }));
  });
  socket.on("close", () => {
    for (const roomId of socket.joined) rooms.get(roomId).delete(socket);
  });
});

setInterval(() => {
  for (const socket of server.clients) {
    if (!socket.isAlive) socket.terminate();
    socket.isAlive = false;
    socket.ping();
  }
}, 20000);
