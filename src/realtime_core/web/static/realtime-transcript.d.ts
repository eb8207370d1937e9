/** Types of `realtime-transcript.js`; the protocol itself is described in `docs/protocol.md`. */

export interface Word {
  word: string;
  /** Seconds on the session clock. */
  start: number;
  end: number;
  confidence: number | null;
  speakerId: string | null;
}

/** A draft or a final. Everything after `ts` may be missing from a third party's broadcast. */
export interface Transcript {
  type?: "transcript";
  sessionSlug: string;
  utteranceId: string;
  /** The whole text so far, never a delta. */
  text: string;
  isFinal: boolean;
  speaker: string;
  speakerId: string;
  /** When it was sent, Unix milliseconds. */
  ts: number;
  seq?: number;
  rev?: number;
  /** Seconds on the session clock. */
  startedAt?: number;
  endedAt?: number;
  language?: string | null;
  confidence?: number | null;
  speakerConfidence?: number | null;
  finalizedBy?: "stt" | "timeout" | "end";
  words?: Word[];
  /** All who spoke at the same time, if that was more than one; the first is `speaker`. */
  speakers?: { id: string; name: string; share: number }[];
}

export interface Draft extends Transcript {
  /** When the text last changed, in milliseconds of the client's own clock. */
  changedAt: number;
  /** It has not changed for `settleAfterMs`: show it without the typing mark. */
  settled: boolean;
}

/** Audio between two times (seconds on the session clock) was lost. */
export interface Gap {
  from: number;
  to: number;
  reason: string;
}

export type Connection = "connecting" | "open" | "reconnecting" | "closed";
export type SessionState = "waiting_for_egress" | "live" | "reconnecting" | "draining" | "ended";

export interface Problem {
  code: string;
  message: string;
}

/** What there is to show. Never changed in place: a new one for each change. */
export interface Snapshot {
  readonly sessionSlug: string;
  readonly connection: Connection;
  /** Where the session stands; null until the server has said so. */
  readonly state: SessionState | null;
  readonly reason: string | null;
  /** With `seq`: where to resume. */
  readonly epoch: string | null;
  readonly seq: number | null;
  /** Whether the last resume filled the whole hole; null when there was none. */
  readonly recovered: boolean | null;
  /** Sorted by `startedAt`; each utterance once, with its latest text. */
  readonly finals: readonly Transcript[];
  readonly drafts: readonly Draft[];
  readonly gaps: readonly Gap[];
  /** What the server refused, or why the connection is closed; null when all is well. */
  readonly error: Problem | null;
  /** The code that ended the last connection. */
  readonly closeCode: number | null;
}

export type ServerMessage =
  | {
      type: "ready";
      sessionSlug: string;
      state: SessionState;
      epoch: string;
      seq: number;
      drafts: Transcript[];
      history: Transcript[];
      recovered?: boolean | null;
    }
  | (Transcript & { type: "transcript" })
  | { type: "status"; sessionSlug: string; state: SessionState; reason?: string | null }
  | ({ type: "gap"; sessionSlug: string } & Gap)
  | { type: "error"; code: string; message: string }
  | { type: "pong" };

/** Time, replaceable in tests. */
export interface Clock {
  /** Milliseconds that only grow. */
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

export type Token = string | null;

export interface Options {
  sessionSlug: string;
  /** `wss://host/api/realtime/transcribe`; http(s) is turned into ws(s). Default: this page's host. */
  url?: string;
  /** Sent in the first message, never in the address. A function is asked before each attempt. */
  token?: Token | (() => Token | Promise<Token>);
  /** A draft that has not changed for so long is `settled`. Default 5000. */
  settleAfterMs?: number;
  /** How often the link is probed; it counts as dead after two silent rounds. Default 20000. */
  pingEveryMs?: number;
  /** How long the server may take from connect to `ready`. Default 10000. */
  readyWithinMs?: number;
  /** The first pause is at most this, each next at most twice as long. Default 1000. */
  firstPauseMs?: number;
  /** No pause is longer. Default 30000. */
  longestPauseMs?: number;
  /** A connection that held this long makes the pauses start over. Default 10000. */
  stableAfterMs?: number;
  /** How often to look for a session that does not exist (yet); 0 gives up at once. Default 5000. */
  retryUnknownSessionMs?: number;
  WebSocket?: typeof WebSocket;
  clock?: Clock;
  /** A number in [0, 1); spreads the pauses. */
  random?: () => number;
}

/**
 * Receives one session's captions and keeps receiving them: reconnects, resumes, merges.
 *
 * Dispatches `change` (detail: the snapshot) and `message` (detail: the server's message).
 */
export class RealtimeTranscript extends EventTarget {
  constructor(options: Options);
  /** Connect and stay connected. Does nothing while started; starts anew after an end. */
  start(): void;
  /** Leave, and keep what was received. Does nothing when not started. */
  stop(): void;
  /** Call `listener` after each change; returns what unsubscribes it. Bound to its object. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The same object until something changes. Bound to its object. */
  readonly getSnapshot: () => Snapshot;
  /** Report who is speaking now; `identity: null` when nobody is. False when there is no connection: a late report is worse than none. */
  reportActiveSpeaker(speaker: { identity: string | null; name?: string; timestamp?: number }): boolean;
}

/** What is there before anything was received. */
export function emptySnapshot(sessionSlug: string): Snapshot;
/** Pure: the snapshot after a server's message; the same object when nothing changed. */
export function applyMessage(snapshot: Snapshot, message: unknown, now: number): Snapshot;
/** Pure: mark the drafts that have not changed for `settleAfterMs`. */
export function settleDrafts(snapshot: Snapshot, now: number, settleAfterMs: number): Snapshot;
/** Pure: the share, 0 to 1, of the shorter text's words that the other has in the same order. */
export function similarity(one: string, other: string): number;
/** Pure: the longest pause before the attempt with this number, counted from 0. */
export function longestPause(attempt: number, firstMs: number, longestMs: number): number;
