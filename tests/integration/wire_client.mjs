/**
 * A client that knows nothing but the wire of websocket-cross-server-adapter, as its WebSocketConnector speaks it:
 * whatever it sends and reads is written out here, so that a server is held to it.
 *
 *     C→S  {"event": E, "payload": P}                      C→S  {"event": E, "payload": P, "callbackId": I}
 *     S→C  {"event": E, "payload": P}                      S→C  {"payload": R, "callbackId": I}
 *     C→S  ""         S→C  ""                              close codes: 4001 on purpose, 4002 without a heartbeat
 */
export class WireClient {
  /** Every text that came, as it was. */
  texts = [];
  /** Every event that came, as [event, payload]. */
  events = [];
  /** A promise of {code, reason}. */
  closed;

  #socket;
  #count = 0;
  #waiting = new Map();

  constructor(url) {
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => this.#received(data);
    this.#socket.onerror = () => {};
    this.closed = new Promise((resolve) => {
      this.#socket.onclose = ({ code, reason }) => resolve({ code, reason });
    });
  }

  /** Resolved when it is open; rejected when it is closed before. */
  opened() {
    return new Promise((resolve, reject) => {
      this.#socket.onopen = () => resolve();
      this.closed.then(({ code }) => reject(new Error(`It was closed with ${code}.`)));
    });
  }

  /** Send it as it is. */
  write(text) {
    this.#socket.send(text);
  }

  /** An event. */
  emit(event, payload) {
    this.write(JSON.stringify({ event, payload }));
  }

  /** An event that wants a reply: a promise of its whole frame, or of null after a time-out. */
  ask(event, payload, timeout = 5000) {
    const callbackId = `ws-${Date.now().toString(36)}-${++this.#count}`;
    this.write(JSON.stringify({ event, payload, callbackId }));
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#answer(callbackId, null), timeout);
      this.#waiting.set(callbackId, { resolve, timer });
    });
  }

  close(code = 4001, reason = "client close") {
    this.#socket.close(code, reason);
    return this.closed;
  }

  #received(text) {
    this.texts.push(text);
    if (text === "") return;
    const frame = JSON.parse(text);
    // A frame with a callbackId is a reply, whatever else is in it.
    if (frame.callbackId) this.#answer(frame.callbackId, frame);
    else if (frame.event) this.events.push([frame.event, frame.payload]);
  }

  #answer(callbackId, frame) {
    const { resolve, timer } = this.#waiting.get(callbackId) ?? {};
    this.#waiting.delete(callbackId);
    clearTimeout(timer);
    resolve?.(frame);
  }
}
