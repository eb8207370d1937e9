// @ts-check
/** The front page: which sessions there are, and a field to open one by name. */

import { get, Refused } from "./access.js";
import { byId, make, say, showExactly } from "./dom.js";

const REFRESH_MS = 5_000;
const SLUG = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;

/** @type {Record<string, string>} */
export const STATE_NAMES = {
  waiting_for_egress: "Waiting for audio",
  live: "Live",
  reconnecting: "Audio interrupted",
  draining: "Finishing",
  ended: "Ended",
};

/**
 * @param {string} text
 * @returns {boolean}
 */
export function isSlug(text) {
  return SLUG.test(text);
}

export class SessionList {
  /** @type {Map<string, HTMLElement>} */ #itemOf = new Map();
  /** @type {() => void} */ #onTokenWanted;
  #timer = 0;

  /** @param {() => void} onTokenWanted */
  constructor(onTokenWanted) {
    this.#onTokenWanted = onTokenWanted;
    byId("open-form").addEventListener("submit", openByName);
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  /** Show what there is now, and look again every few seconds while the page is seen. */
  async refresh() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const goOn = await this.#load();
    clearTimeout(this.#timer); // another refresh may have begun meanwhile
    if (goOn) this.#timer = setTimeout(() => this.refresh(), REFRESH_MS);
  }

  /** @returns {Promise<boolean>} whether looking again makes sense */
  async #load() {
    try {
      const { sessions } = await (await get("/api/realtime/sessions")).json();
      this.#show(sessions.filter((/** @type {any} */ each) => isSlug(each?.sessionSlug)));
      return true;
    } catch (error) {
      return this.#excuse(error);
    }
  }

  /** @param {unknown} error */
  #excuse(error) {
    const wantsToken = error instanceof Refused && error.wantsToken;
    if (wantsToken) this.#onTokenWanted();
    note(wantsToken ? "The list of sessions needs a token." : "The list cannot be loaded now.");
    return !wantsToken;
  }

  /** @param {any[]} sessions */
  #show(sessions) {
    note(sessions.length ? "" : "No sessions right now. This list refreshes by itself.");
    showExactly(byId("sessions"), sessions.map((session) => this.#item(session)));
  }

  /** @param {any} session */
  #item({ sessionSlug, state, viewers }) {
    const item = this.#itemOf.get(sessionSlug) ?? newItem(sessionSlug);
    this.#itemOf.set(sessionSlug, item);
    item.dataset.state = String(state);
    const [stateText, viewersText] = item.querySelectorAll("span.state, span.viewers");
    say(/** @type {HTMLElement} */ (stateText), STATE_NAMES[state] ?? String(state));
    say(/** @type {HTMLElement} */ (viewersText), viewersOf(viewers));
    return item;
  }
}

/** @param {string} slug */
function newItem(slug) {
  const link = /** @type {HTMLAnchorElement} */ (make("a", "", make("span", "slug", slug)));
  link.href = `/s/${slug}`;
  link.append(make("span", "state"), make("span", "viewers"));
  return make("li", "", link);
}

/** @param {unknown} count */
function viewersOf(count) {
  if (typeof count !== "number") return "";
  return count === 1 ? "1 viewer" : `${count} viewers`;
}

/** @param {string} text */
function note(text) {
  say(byId("sessions-note"), text);
  byId("sessions-note").hidden = text === "";
}

/** @param {SubmitEvent} event */
function openByName(event) {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (byId("slug"));
  const slug = field.value.trim();
  const isGood = isSlug(slug);
  field.setAttribute("aria-invalid", String(!isGood));
  say(byId("slug-problem"), isGood ? "" : "Use letters, digits, - and _; the first a letter or digit.");
  if (isGood) location.assign(`/s/${slug}`);
  else field.focus();
}
