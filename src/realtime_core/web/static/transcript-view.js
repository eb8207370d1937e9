// @ts-check
/**
 * Shows a snapshot: finals and gaps in the log, drafts beneath it, speakers in the panel.
 *
 * @typedef {import("./realtime-transcript.js").Snapshot} Snapshot
 * @typedef {import("./realtime-transcript.js").Transcript} Transcript
 * @typedef {import("./realtime-transcript.js").Draft} Draft
 * @typedef {import("./realtime-transcript.js").Gap} Gap
 */

import { Palette, ROOM } from "./colours.js";
import { byId, clockTime, make, say, showExactly } from "./dom.js";

/** A speaker's next words stand under the same name unless so much time lies between. */
const SAME_TURN_S = 30;

/** More news at once than this is history, which a screen reader should not read out. */
const MOST_ANNOUNCED = 3;

/** How long a screen reader may take to notice that a live region changed. */
const UNNOTICED_MS = 1_000;

const LANGUAGE_TAG = /^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$/;

export class TranscriptView {
  /** @type {Map<string, HTMLElement>} */ #lineOf = new Map();
  #palette = new Palette();
  #log = byId("finals");
  #drafts = byId("drafts");
  /** @type {Snapshot | null} */ #shown = null;
  #silence = 0;

  /** @param {Snapshot} snapshot */
  show(snapshot) {
    const { finals, gaps, drafts } = snapshot;
    if (finals !== this.#shown?.finals || gaps !== this.#shown?.gaps) this.#showLog(snapshot);
    if (finals !== this.#shown?.finals || drafts !== this.#shown?.drafts) this.#showDrafts(snapshot);
    this.#shown = snapshot;
  }

  /** @param {Snapshot} snapshot */
  #showLog({ finals, gaps }) {
    this.#hushIf(finals.length - (this.#shown?.finals.length ?? 0) > MOST_ANNOUNCED);
    const entries = inOrder(finals, gaps);
    showExactly(this.#log, entries.map((entry, at) => this.#entry(entry, entries[at - 1])));
    this.#showSpeakers(finals);
    this.#forget(["final", "gap"], entries);
  }

  /** @param {Snapshot} snapshot */
  #showDrafts({ drafts, finals }) {
    /** @type {HTMLElement[]} */ const lines = [];
    drafts.forEach((draft, at) => {
      const line = this.#line(draft, drafts[at - 1] ?? finals.at(-1));
      line.classList.toggle("settled", draft.settled);
      lines.push(line);
    });
    showExactly(this.#drafts, lines);
    this.#forget(["draft"], drafts);
  }

  /** @type {(entry: Transcript | Gap, before: Transcript | Gap | undefined) => HTMLElement} */
  #entry(entry, before) {
    return isGap(entry) ? this.#gap(entry) : this.#line(entry, before);
  }

  /** @type {(transcript: Transcript, before: Transcript | Gap | undefined) => HTMLElement} */
  #line(transcript, before) {
    const key = keyOf(transcript);
    const line = this.#lineOf.get(key) ?? newLine();
    this.#lineOf.set(key, line);
    fillLine(line, transcript, this.#palette.hueOf(transcript.speakerId));
    line.classList.toggle("continues", isSameTurn(transcript, before));
    return line;
  }

  /** @param {Gap} gap */
  #gap(gap) {
    const shown = this.#lineOf.get(keyOf(gap));
    if (shown) return shown;
    const lost = `Audio lost from ${clockTime(gap.from)} to ${clockTime(gap.to)}`;
    const line = make("li", "gap", make("span", "", lost, reasonOf(gap)));
    this.#lineOf.set(keyOf(gap), line);
    return line;
  }

  /** @param {readonly Transcript[]} finals */
  #showSpeakers(finals) {
    const speakers = speakingTimes(finals);
    const most = Math.max(1, ...speakers.map(({ seconds }) => seconds));
    showExactly(byId("speakers"), speakers.map((speaker) => this.#speaker(speaker, most)));
    byId("no-speakers").hidden = speakers.length > 0;
  }

  /** @type {(speaker: {id: string, name: string, seconds: number}, most: number) => HTMLElement} */
  #speaker({ id, name, seconds }, most) {
    const line = this.#lineOf.get(`speaker ${id}`) ?? newSpeaker();
    this.#lineOf.set(`speaker ${id}`, line);
    colour(line, this.#palette.hueOf(id));
    say(part(line, "name"), name);
    say(part(line, "amount"), clockTime(seconds));
    line.style.setProperty("--share", String(seconds / most));
    return line;
  }

  /**
   * Drop the lines of these kinds that are shown no more.
   *
   * @type {(kinds: string[], entries: readonly (Transcript | Gap)[]) => void}
   */
  #forget(kinds, entries) {
    const shown = new Set(entries.map(keyOf));
    for (const key of this.#lineOf.keys()) {
      if (kinds.includes(key.split(" ", 1)[0]) && !shown.has(key)) this.#lineOf.delete(key);
    }
  }

  /** @param {boolean} tooMuch */
  #hushIf(tooMuch) {
    if (!tooMuch) return;
    clearTimeout(this.#silence);
    this.#log.setAttribute("aria-live", "off");
    this.#silence = setTimeout(() => this.#log.setAttribute("aria-live", "polite"), UNNOTICED_MS);
  }
}

/** @type {(entry: Transcript | Gap) => entry is Gap} */
function isGap(entry) {
  return "from" in entry;
}

/** @type {(entry: Transcript | Gap) => string} */
function keyOf(entry) {
  if (isGap(entry)) return `gap ${entry.from} ${entry.to}`;
  return `${entry.isFinal ? "final" : "draft"} ${entry.utteranceId}`;
}

/** @type {(finals: readonly Transcript[], gaps: readonly Gap[]) => (Transcript | Gap)[]} */
function inOrder(finals, gaps) {
  /** @param {Transcript | Gap} entry */
  const startOf = (entry) => (isGap(entry) ? entry.from : (entry.startedAt ?? Infinity));
  // The sort is stable: what is undated keeps the order of the snapshot.
  return [...finals, ...gaps].sort((a, b) => (startOf(a) > startOf(b) ? 1 : startOf(a) < startOf(b) ? -1 : 0));
}

/** @type {(transcript: Transcript, before: Transcript | Gap | undefined) => boolean} */
function isSameTurn(transcript, before) {
  if (!before || isGap(before) || before.speakerId !== transcript.speakerId) return false;
  return (transcript.startedAt ?? 0) - (before.endedAt ?? 0) < SAME_TURN_S;
}

function newLine() {
  const head = make("p", "head", make("span", "name"), make("time"));
  const text = make("p", "text", make("span", "words"), typingMark());
  return make("li", "line", make("span", "avatar"), make("div", "said", head, text));
}

function typingMark() {
  const mark = make("span", "typing", make("i"), make("i"), make("i"));
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", "typing");
  return mark;
}

function newSpeaker() {
  return make("li", "speaker", make("span", "name"), make("span", "amount"), make("span", "share"));
}

/** @type {(line: HTMLElement, transcript: Transcript, hue: number | null) => void} */
function fillLine(line, { speaker, text, startedAt, language }, hue) {
  const name = displayName(speaker);
  colour(line, hue);
  const avatar = part(line, "avatar");
  say(avatar, initialsOf(name));
  avatar.setAttribute("aria-hidden", "true");
  say(part(line, "name"), name);
  fillTime(/** @type {HTMLTimeElement} */ (line.querySelector("time")), startedAt);
  const words = part(line, "words");
  words.dir = "auto";
  words.lang = LANGUAGE_TAG.test(language ?? "") ? /** @type {string} */ (language) : "";
  say(words, text);
}

/** @type {(time: HTMLTimeElement, startedAt: number | undefined) => void} */
function fillTime(time, startedAt) {
  time.hidden = startedAt == null;
  if (startedAt == null) return;
  time.dateTime = `PT${Math.max(0, startedAt).toFixed(2)}S`;
  say(time, clockTime(startedAt));
}

/** @type {(element: HTMLElement, hue: number | null) => void} */
function colour(element, hue) {
  element.classList.toggle("unknown", hue === null);
  element.style.setProperty("--hue", String(hue ?? 0));
}

/** @type {(element: HTMLElement, className: string) => HTMLElement} */
function part(element, className) {
  return /** @type {HTMLElement} */ (element.querySelector(`.${className}`));
}

/** @param {string | undefined} speaker */
function displayName(speaker) {
  return !speaker || speaker === ROOM ? "Room" : speaker;
}

/** @param {string} name */
function initialsOf(name) {
  const words = name.trim().split(/\s+/u);
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : ""];
  return letters.map((word) => [...word][0] ?? "").join("").toUpperCase();
}

/** @param {Gap} gap */
function reasonOf({ reason }) {
  return reason ? ` (${reason})` : "";
}

/** @param {readonly Transcript[]} finals */
function speakingTimes(finals) {
  /** @type {Map<string, {id: string, name: string, seconds: number}>} */ const times = new Map();
  for (const { speakerId, speaker, startedAt = 0, endedAt = 0 } of finals) {
    const sum = (times.get(speakerId)?.seconds ?? 0) + Math.max(0, endedAt - startedAt);
    times.set(speakerId, { id: speakerId, name: displayName(speaker), seconds: sum });
  }
  return [...times.values()];
}
