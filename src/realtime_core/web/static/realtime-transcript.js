// @ts-check
/**
 * The captions of one session, over a WebSocket that comes back. No framework, no build step.
 *
 *     const client = new RealtimeTranscript({ url: "wss://captions.example", sessionSlug: "weekly" });
 *     client.start();
 *
 * In React, with `client` made once (a ref or a module) and started in an effect:
 *
 *     const { connection, finals, drafts } =
 *       useSyncExternalStore(client.subscribe, client.getSnapshot, client.getSnapshot);
 *
 * A draft or final with the same `utteranceId` replaces what was shown; drafts are whole texts.
 * Types are in `realtime-transcript.d.ts`.
 *
 * @typedef {import("./realtime-transcript.js").Options} Options
 * @typedef {import("./realtime-transcript.js").Snapshot} Snapshot
 * @typedef {import("./realtime-transcript.js").Clock} Clock
 */

import { LOST, Link } from "./transcript-link.js";
import { applyMessage, emptySnapshot, settleDrafts, withChanges } from "./transcript-state.js";

export { applyMessage, emptySnapshot, settleDrafts, similarity } from "./transcript-state.js";

const PATH = "/api/realtime/transcribe";
const ENDED_WELL = 1000;
const UNKNOWN_SESSION = 4404;
const TOO_MANY = 4429;

/** The server meant it: asking again with nothing changed gets the same answer. */
const FINAL_CODES = new Set([1003, 1007, 1008, 1009, 1010, 4400, 4401, 4403]);

/** @type {Record<number, string>} */
const CODE_NAMES = {
  4400: "bad_request",
  4401: "unauthorized",
  4403: "forbidden",
  4404: "unknown_session",
};

/** A server that has too many viewers is left alone for longer: pauses start this far on. */
const ATTEMPT_AFTER_TOO_MANY = 3;

const DEFAULTS = {
  token: null,
  settleAfterMs: 5_000,
  pingEveryMs: 20_000,
  readyWithinMs: 10_000,
  firstPauseMs: 1_000,
  longestPauseMs: 30_000,
  stableAfterMs: 10_000,
  retryUnknownSessionMs: 5_000,
  random: Math.random,
};

/** @type {Clock} */
const REAL_TIME = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/**
 * @param {number} attempt
 * @param {number} firstMs
 * @param {number} longestMs
 * @returns {number}
 */
export function longestPause(attempt, firstMs, longestMs) {
  return Math.min(longestMs, firstMs * 2 ** attempt);
}

export class RealtimeTranscript extends EventTarget {
  /** @type {Omit<typeof DEFAULTS, "token"> & Options & {clock: Clock, url: string}} */ #options;
  /** @type {Snapshot} */ #snapshot;
  /** @type {Set<() => void>} */ #listeners = new Set();
  /** @type {Link | null} */ #link = null;
  /** @type {unknown} */ #pause = null;
  /** @type {unknown} */ #settling = null;
  #started = false;
  #attempt = 0;
  #openedAt = Infinity;

  /** @param {Options} options */
  constructor(options) {
    super();
    const url = socketUrl(options.url);
    this.#options = { ...DEFAULTS, clock: REAL_TIME, ...given(options), url };
    this.#snapshot = emptySnapshot(options.sessionSlug);
  }

  start() {
    if (this.#started) return;
    this.#started = true;
    this.#attempt = 0;
    globalThis.addEventListener?.("online", this.#lookAgain);
    globalThis.document?.addEventListener("visibilitychange", this.#lookAgain);
    this.#show({ connection: "connecting", error: null });
    this.#connect();
  }

  stop() {
    if (this.#started) this.#finish({ error: null });
  }

  /** @type {(listener: () => void) => () => void} */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  getSnapshot = () => this.#snapshot;

  /** @param {{identity: string | null, name?: string, timestamp?: number}} speaker */
  reportActiveSpeaker({ identity, name, timestamp = Date.now() }) {
    return this.#link?.send({ type: "active-speaker", identity, name, timestamp }) ?? false;
  }

  async #connect() {
    const link = this.#newLink();
    this.#link = link;
    try {
      const token = await tokenOf(this.#options.token);
      if (this.#link === link) link.open(this.#options.url, this.#subscription(token));
    } catch (error) {
      if (this.#link === link) this.#lost(LOST, `no token: ${error}`);
    }
  }

  #newLink() {
    const { clock, pingEveryMs, readyWithinMs } = this.#options;
    return new Link({
      clock,
      pingEveryMs,
      readyWithinMs,
      WebSocket: this.#options.WebSocket ?? globalThis.WebSocket,
      onMessage: (message) => this.#receive(message),
      onEnd: (code, reason) => this.#lost(code, reason),
    });
  }

  /** @param {string | null} token */
  #subscription(token) {
    const { sessionSlug, epoch, seq } = this.#snapshot;
    const resume = epoch === null ? {} : { since: seq, epoch };
    return { type: "subscribe", sessionSlug, ...resume, ...(token ? { token } : {}) };
  }

  /** @param {any} message */
  #receive(message) {
    const now = this.#options.clock.now();
    const isReady = message.type === "ready";
    if (isReady) this.#openedAt = now;
    const told = applyMessage(this.#snapshot, message, now);
    this.#become(isReady ? withChanges(told, { connection: "open", closeCode: null }) : told);
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  /** @type {(code: number, reason: string) => void} */
  #lost(code, reason) {
    this.#link = null;
    const pauseMs = this.#pauseAfter(code);
    if (pauseMs === null) {
      this.#finish({ closeCode: code, error: this.#problem(code, reason) });
      return;
    }
    const error = code === UNKNOWN_SESSION ? this.#problem(code, reason) : this.#snapshot.error;
    this.#show({ connection: "reconnecting", closeCode: code, error });
    this.#pause = this.#options.clock.setTimeout(() => this.#retry(), pauseMs);
  }

  /**
   * Full jitter: anything between nothing and the longest pause, so that viewers whom one
   * restart cut off do not come back in step.
   *
   * @param {number} code
   * @returns {number | null} null: do not come back
   */
  #pauseAfter(code) {
    const { clock, random, firstPauseMs, longestPauseMs } = this.#options;
    if (FINAL_CODES.has(code)) return null;
    if (code === ENDED_WELL && this.#snapshot.state === "ended") return null;
    if (code === UNKNOWN_SESSION) return this.#pauseForUnknownSession();
    if (clock.now() - this.#openedAt >= this.#options.stableAfterMs) this.#attempt = 0;
    if (code === TOO_MANY) this.#attempt = Math.max(this.#attempt, ATTEMPT_AFTER_TOO_MANY);
    this.#openedAt = Infinity;
    return random() * longestPause(this.#attempt++, firstPauseMs, longestPauseMs);
  }

  #pauseForUnknownSession() {
    const { random, retryUnknownSessionMs } = this.#options;
    return retryUnknownSessionMs > 0 ? retryUnknownSessionMs * (0.75 + random() / 2) : null;
  }

  /** @type {(code: number, reason: string) => Snapshot["error"]} */
  #problem(code, reason) {
    if (code === ENDED_WELL) return null;
    const name = CODE_NAMES[code] ?? `closed_${code}`;
    const said = this.#snapshot.error;
    return said?.code === name ? said : { code: name, message: reason || name.replaceAll("_", " ") };
  }

  #retry() {
    this.#options.clock.clearTimeout(this.#pause);
    this.#pause = null;
    this.#connect();
  }

  /** The device woke up or is online again: timers may have slept, the link may be dead. */
  #lookAgain = () => {
    if (globalThis.document?.visibilityState === "hidden") return;
    if (this.#pause !== null) this.#retry();
    else this.#link?.probe();
  };

  /** @param {Partial<Snapshot>} changes */
  #finish(changes) {
    this.#started = false;
    this.#link?.close();
    this.#link = null;
    this.#options.clock.clearTimeout(this.#pause);
    this.#pause = null;
    globalThis.removeEventListener?.("online", this.#lookAgain);
    globalThis.document?.removeEventListener("visibilitychange", this.#lookAgain);
    this.#show({ connection: "closed", ...changes });
  }

  /** @param {Partial<Snapshot>} changes */
  #show(changes) {
    this.#become(withChanges(this.#snapshot, changes));
  }

  /** @param {Snapshot} snapshot */
  #become(snapshot) {
    if (snapshot === this.#snapshot) return;
    this.#snapshot = snapshot;
    this.#settleLater();
    for (const listener of [...this.#listeners]) listener();
    this.dispatchEvent(new CustomEvent("change", { detail: snapshot }));
  }

  #settleLater() {
    const { clock, settleAfterMs } = this.#options;
    clock.clearTimeout(this.#settling);
    const moving = this.#snapshot.drafts.filter((draft) => !draft.settled);
    if (moving.length === 0) return;
    const dueAt = Math.min(...moving.map((draft) => draft.changedAt)) + settleAfterMs;
    const settle = () => {
      const now = Math.max(clock.now(), dueAt); // timers may fire a fraction early
      this.#become(settleDrafts(this.#snapshot, now, settleAfterMs));
    };
    this.#settling = clock.setTimeout(settle, Math.max(0, dueAt - clock.now()));
  }
}

/** @type {(options: Options) => Options} */
function given(options) {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return /** @type {Options} */ (Object.fromEntries(entries));
}

/** @type {(url: string | undefined) => string} */
function socketUrl(url) {
  const base = globalThis.location?.href;
  const full = new URL(url ?? PATH, base);
  full.protocol = full.protocol.replace("http", "ws");
  if (full.pathname === "/") full.pathname = PATH;
  return full.href;
}

/** @type {(token: Options["token"]) => Promise<string | null>} */
async function tokenOf(token) {
  return (typeof token === "function" ? await token() : token) ?? null;
}
