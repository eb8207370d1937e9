// @ts-check
/** A colour for each speaker: the same one every time, and no two alike while there are enough. */

/** A full circle of hues, in degrees, as far apart as a dozen can be. */
const HUES = Array.from({ length: 12 }, (_, nth) => nth * 30 + 15);

/** Two hues at least this far apart are told from one another at a glance. */
const CLEARLY_APART = 60;

/** The name and id of "nobody is known to have spoken". */
export const ROOM = "room";

export class Palette {
  /** @type {Map<string, number>} */ #hueOf = new Map();

  /**
   * @param {string} speakerId
   * @returns {number | null} a hue in degrees; null for a speaker nobody knows
   */
  hueOf(speakerId) {
    if (speakerId === ROOM) return null;
    const hue = this.#hueOf.get(speakerId) ?? this.#freeHue(speakerId);
    this.#hueOf.set(speakerId, hue);
    return hue;
  }

  /** The speaker's own hue, unless it is too like one in use: then the least like any of them. */
  #freeHue(/** @type {string} */ speakerId) {
    const own = HUES[hash(speakerId) % HUES.length];
    const taken = [...this.#hueOf.values()];
    /** @param {number} hue */
    const room = (hue) => Math.min(180, ...taken.map((other) => distance(hue, other)));
    if (room(own) >= CLEARLY_APART) return own;
    return HUES.reduce((best, hue) => (room(hue) > room(best) ? hue : best), own);
  }
}

/** @type {(one: number, other: number) => number} */
function distance(one, other) {
  const apart = Math.abs(one - other);
  return Math.min(apart, 360 - apart);
}

/**
 * FNV-1a, 32 bits.
 *
 * @param {string} text
 */
function hash(text) {
  let value = 0x811c9dc5;
  for (const sign of text) value = Math.imul(value ^ (sign.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return value;
}
