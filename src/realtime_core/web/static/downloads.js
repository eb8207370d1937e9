// @ts-check
/** The links that save a session's finals as a file. */

import { get, token } from "./access.js";
import { byId, say } from "./dom.js";

/** How long the browser may take to read a file that it was told to save. */
const KEPT_MS = 60_000;

/** @param {string} slug */
export function offerDownloads(slug) {
  for (const link of links()) {
    link.download = `${slug}.${link.dataset.format}`;
    link.addEventListener("click", (event) => saveWithToken(event, link));
  }
  nameRun(slug, null);
}

/**
 * Of a session that was started several times, offer the run that is shown.
 *
 * @param {string} slug
 * @param {string | null} epoch null: the last one that anything is stored of
 */
export function nameRun(slug, epoch) {
  const run = epoch === null ? "" : `&epoch=${encodeURIComponent(epoch)}`;
  for (const link of links()) {
    link.href = `/api/realtime/sessions/${slug}/transcript?format=${link.dataset.format}${run}`;
  }
}

function links() {
  return byId("downloads").querySelectorAll("a");
}

/**
 * A link cannot carry a token, and an address must not: fetch the file, then save it.
 *
 * @type {(event: Event, link: HTMLAnchorElement) => Promise<void>}
 */
async function saveWithToken(event, link) {
  if (!token()) return;
  event.preventDefault();
  try {
    save(await (await get(link.href)).blob(), link.download);
    say(byId("download-problem"), "");
  } catch {
    say(byId("download-problem"), "The file cannot be downloaded now.");
  }
}

/** @type {(file: Blob, name: string) => void} */
function save(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}
