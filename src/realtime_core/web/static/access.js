// @ts-check
/** The visitor's token, for this tab only, and requests that carry it. */

const KEY = "realtime-core-token";

/** @returns {string | null} */
export function token() {
  return sessionStorage.getItem(KEY);
}

/** @param {string} value */
export function keepToken(value) {
  sessionStorage.setItem(KEY, value.trim());
}

/** Take `#token=…` out of the address, so that a copied address gives nothing away. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  keepToken(given);
  history.replaceState(null, "", location.pathname + location.search);
}

/**
 * @param {string} path
 * @returns {Promise<Response>} a good one
 * @throws {Refused} the server said no
 */
export async function get(path) {
  const held = token();
  const headers = held ? { Authorization: `Bearer ${held}` } : undefined;
  const response = await fetch(path, { headers, cache: "no-store" });
  if (!response.ok) throw new Refused(response.status);
  return response;
}

export class Refused extends Error {
  /** @param {number} status */
  constructor(status) {
    super(`the server answered ${status}`);
    this.status = status;
  }

  /** Whether another token could help. */
  get wantsToken() {
    return this.status === 401 || this.status === 403;
  }
}
