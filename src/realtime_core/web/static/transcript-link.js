// @ts-check
/**
 * One connection, from its start to its one end. Whether to try again is not decided here.
 *
 * @typedef {import("./realtime-transcript.js").Clock} Clock
 *
 * @typedef {object} LinkOptions
 * @property {typeof WebSocket} WebSocket
 * @property {Clock} clock
 * @property {number} pingEveryMs
 * @property {number} readyWithinMs
 * @property {(message: any) => void} onMessage
 * @property {(code: number, reason: string) => void} onEnd called once, unless closed by us
 */

/** The code of a connection that ended without saying why; ours for a dead link, too. */
export const LOST = 1006;

/** After the device woke up or came online, an answer is due within this time. */
const PROBE_MS = 5_000;

export class Link {
  /** @type {LinkOptions} */ #options;
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {unknown} */ #timer = null;
  #ready = false;
  #over = false;

  /** @param {LinkOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * @param {string} url
   * @param {object} subscribe the first message
   */
  open(url, subscribe) {
    this.#after(this.#options.readyWithinMs, () => this.#end(LOST, "no answer in time"));
    try {
      this.#socket = new this.#options.WebSocket(url);
    } catch (error) {
      this.#end(LOST, String(error)); // for example ws: from a page that came by https:
      return;
    }
    this.#socket.onopen = () => this.#transmit(subscribe);
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason);
  }

  /**
   * @param {object} message
   * @returns {boolean} whether it was handed to the browser
   */
  send(message) {
    return this.#ready && !this.#over && this.#transmit(message);
  }

  /** Ask for a sign of life, soon. */
  probe() {
    if (this.#ready && !this.#over) this.#ping(PROBE_MS);
  }

  /** End without a word to the owner. May be called twice. */
  close() {
    this.#over = true;
    this.#options.clock.clearTimeout(this.#timer);
    this.#socket?.close();
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#over) return;
    const message = parsed(data);
    if (message?.type === "ready") this.#ready = true;
    if (this.#ready) this.#after(this.#options.pingEveryMs, () => this.#ping());
    if (message) this.#options.onMessage(message);
  }

  /** Whatever the server says resets the timer; its silence after a ping ends the link. */
  #ping(answerWithinMs = this.#options.pingEveryMs) {
    this.#transmit({ type: "ping" });
    this.#after(answerWithinMs, () => this.#end(LOST, "the link is dead"));
  }

  /** @type {(code: number, reason: string) => void} */
  #end(code, reason) {
    if (this.#over) return;
    this.close();
    this.#options.onEnd(code, reason);
  }

  /** @type {(message: object) => boolean} */
  #transmit(message) {
    if (this.#socket?.readyState !== this.#options.WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** @type {(ms: number, callback: () => void) => void} */
  #after(ms, callback) {
    this.#options.clock.clearTimeout(this.#timer);
    this.#timer = this.#options.clock.setTimeout(callback, ms);
  }
}

/** @type {(data: unknown) => any} */
function parsed(data) {
  try {
    return JSON.parse(String(data));
  } catch {
    return null; // not ours to judge; the next message may be fine
  }
}
