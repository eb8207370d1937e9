// @ts-check
/** The links that save a session's finals as a file. */

import { get, token } from "./access.js";
import { byId, say } from "./dom.js";

/** How long the browser may take to read a file that it was told to save. */
const KEPT_MS = 60_000;

/** @param {string} slug */
export function offerDownloads(slug) {
  for (const link of byId("downloads").querySelectorAll("a")) {
    const format = link.dataset.format ?? "txt";
    link.href = `/api/realtime/sessions/${slug}/transcript?format=${format}`;
    link.download = `${slug}.${format}`;
    link.addEventListener("click", (event) => saveWithToken(event, link));
  }
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
