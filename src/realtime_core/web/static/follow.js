// @ts-check
/** Keeps the newest words in sight until the reader scrolls up, and offers the way back. */

import { byId, say } from "./dom.js";

/** Nearer to the end than this counts as being there. */
const NEAR_PX = 80;

export class Follower {
  #jump = byId("jump");
  #following = true;
  #lastY = 0;
  #unseen = 0;

  constructor() {
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("resize", () => this.#keepUp());
    new ResizeObserver(() => this.#keepUp()).observe(byId("captions"));
    this.#jump.addEventListener("click", () => this.#return());
  }

  /** @param {number} count finals that were added just now */
  added(count) {
    if (!this.#following && count > 0) this.#unseen += count;
    this.#keepUp();
  }

  #keepUp() {
    if (this.#following) scrollTo({ top: document.documentElement.scrollHeight });
    this.#offer();
  }

  /** Only the reader moves up; growing content never does. */
  #scrolled() {
    const page = document.documentElement;
    const isNearEnd = page.scrollHeight - innerHeight - scrollY < NEAR_PX;
    if (isNearEnd) this.#following = true;
    else if (scrollY < this.#lastY) this.#following = false;
    this.#lastY = scrollY;
    this.#offer();
  }

  #offer() {
    if (this.#following) this.#unseen = 0;
    this.#jump.hidden = this.#following;
    say(this.#jump, this.#unseen ? `Jump to latest (${this.#unseen} new)` : "Jump to latest");
  }

  #return() {
    this.#following = true;
    this.#keepUp();
    // The button is gone now; without this the keyboard would start again at the top.
    byId("main").focus({ preventScroll: true });
  }
}
