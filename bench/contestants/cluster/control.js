// How the driver tells a server to call the other: a port, and lines on it.
"use strict";

const { createInterface } = require("node:readline");
const { createServer } = require("node:net");

const payload = { m: "x".repeat(32) };

async function callUntil(call, until, latencies) {
  for (;;) {
    const began = performance.now();
    if (began >= until) return;
    const reply = await call(payload);
    if (reply.m !== payload.m) throw new Error("that is no echo");
    latencies.push(performance.now() - began);
  }
}

/** Listens; `call` returns a Promise of what the other server replies. */
exports.offerControl = (call) => {
  createServer((socket) => {
    let latencies = [];
    createInterface({ input: socket }).on("line", async (line) => {
      const [word, inFlight, seconds] = line.split(" ");
      if (word === "call") {
        latencies = [];
        const until = performance.now() + 1000 * Number(seconds);
        await Promise.all(Array.from({ length: Number(inFlight) }, () => callUntil(call, until, latencies)));
        socket.write(`${latencies.length}\n`);
      } else {
        latencies.sort((a, b) => a - b);
        const [p50, p99] = [0.5, 0.99].map((share) => 1000 * latencies[Math.floor(latencies.length * share)]);
        socket.write(`${p50} ${p99}\n`);
      }
    });
    socket.on("error", () => {});
  }).listen(Number(process.env.CONTROL), "127.0.0.1");
};
