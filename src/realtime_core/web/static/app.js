// @ts-check
/**
 * The page: `/` lists the sessions, `/s/{slug}` shows one.
 *
 * @typedef {import("./realtime-transcript.js").Snapshot} Snapshot
 */

import { keepToken, takeTokenFromAddress, token } from "./access.js";
import { byId, say } from "./dom.js";
import { nameRun, offerDownloads } from "./downloads.js";
import { Follower } from "./follow.js";
import { RealtimeTranscript } from "./realtime-transcript.js";
import { SessionList, STATE_NAMES, isSlug } from "./session-list.js";
import { TranscriptView } from "./transcript-view.js";

const TOKEN_ERRORS = ["unauthorized", "forbidden"];

takeTokenFromAddress();
const slug = slugIn(location.pathname);
if (slug === null) showHome();
else showSession(slug);

/**
 * @param {string} path
 * @returns {string | null}
 */
function slugIn(path) {
  const [, name] = /^\/s\/([^/]+)\/?$/.exec(path) ?? [];
  return name !== undefined && isSlug(name) ? name : null;
}

function showHome() {
  byId("home").hidden = false;
  const list = new SessionList(askForToken);
  onToken(() => list.refresh());
  list.refresh();
}

/** @param {string} sessionSlug */
function showSession(sessionSlug) {
  revealSession(sessionSlug);
  const client = new RealtimeTranscript({ sessionSlug, token });
  const view = new TranscriptView();
  const follower = new Follower();
  let shownFinals = 0;
  client.subscribe(() => {
    const snapshot = client.getSnapshot();
    view.show(snapshot);
    showCondition(snapshot);
    nameRun(sessionSlug, snapshot.epoch);
    follower.added(snapshot.finals.length - shownFinals);
    shownFinals = snapshot.finals.length;
  });
  onToken(() => client.start());
  byId("connect-again").addEventListener("click", () => client.start());
  client.start();
}

/** @param {string} sessionSlug */
function revealSession(sessionSlug) {
  for (const id of ["captions", "panel", "panel-toggle", "session-name", "connection"]) {
    byId(id).hidden = false;
  }
  document.body.classList.add("in-session");
  document.title = `${sessionSlug} · Live captions`;
  say(byId("session-name"), sessionSlug);
  say(byId("captions-title"), `Live captions of ${sessionSlug}`);
  offerDownloads(sessionSlug);
  byId("panel-toggle").addEventListener("click", () => togglePanel());
  document.addEventListener("keydown", closePanelOnEscape);
}

/** @param {boolean} [open] */
function togglePanel(open) {
  const isOpen = document.body.classList.toggle("panel-open", open);
  byId("panel-toggle").setAttribute("aria-expanded", String(isOpen));
}

/** @param {KeyboardEvent} event */
function closePanelOnEscape({ key }) {
  if (key !== "Escape" || !document.body.classList.contains("panel-open")) return;
  togglePanel(false);
  byId("panel-toggle").focus();
}

/** @param {Snapshot} snapshot */
function showCondition(snapshot) {
  const { tone, text } = condition(snapshot);
  byId("connection").dataset.tone = tone;
  say(byId("connection"), text);
  const isEmpty = snapshot.finals.length === 0 && snapshot.drafts.length === 0;
  byId("empty").hidden = !isEmpty;
  say(byId("empty"), isEmpty ? whyEmpty(snapshot) : "");
  showTrouble(snapshot);
}

/**
 * @param {Snapshot} snapshot
 * @returns {{tone: string, text: string}}
 */
function condition({ connection, state, error }) {
  if (state === "ended" && connection !== "connecting") return { tone: "off", text: "Ended" };
  if (connection === "open") return { tone: state ?? "off", text: STATE_NAMES[state ?? ""] ?? "Connected" };
  if (error?.code === "unknown_session") return { tone: "waiting", text: "Not started" };
  if (connection === "closed") return { tone: "off", text: "Disconnected" };
  const text = connection === "connecting" ? "Connecting…" : "Reconnecting…";
  return { tone: "waiting", text };
}

/** @param {Snapshot} snapshot */
function whyEmpty({ connection, state, error }) {
  if (error?.code === "unknown_session") {
    return "There is no session of this name yet. The captions appear here as soon as it starts.";
  }
  if (state === "ended") return "The session ended without a word.";
  if (connection !== "open") return "";
  return state === "live" ? "Listening… the first words appear here." : "Waiting for the call's audio.";
}

/** @param {Snapshot} snapshot */
function showTrouble(snapshot) {
  const { connection, error } = snapshot;
  const wantsToken = connection === "closed" && TOKEN_ERRORS.includes(error?.code ?? "");
  byId("connect-again").hidden = connection !== "closed" || wantsToken;
  say(byId("trouble-text"), wantsToken ? "" : troubleIn(snapshot));
  byId("trouble").hidden = byId("trouble-text").textContent === "";
  byId("trouble").dataset.tone = connection === "closed" && error ? "bad" : "calm";
  if (wantsToken) askForToken();
  else byId("token-form").hidden = true;
}

/** @param {Snapshot} snapshot */
function troubleIn({ connection, error, recovered, state }) {
  if (connection === "closed") {
    if (error) return `The server closed the connection: ${error.message}`;
    return state === "ended" ? "The session has ended." : "";
  }
  if (recovered === false) return "The connection was away for long; earlier captions may be missing.";
  return "";
}

function askForToken() {
  const form = byId("token-form");
  if (!form.hidden) return;
  form.hidden = false;
  byId("token").focus();
}

/** @param {() => void} proceed */
function onToken(proceed) {
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (byId("token"));
    keepToken(field.value);
    field.value = "";
    byId("token-form").hidden = true;
    proceed();
  });
}
