// @ts-check
/**
 * What a viewer knows of a session, as a pure function of what the server said.
 *
 * No socket, no timer, no clock: `now` is passed in. A function that changes nothing returns
 * the very object it was given, so that "did anything change?" is `===`.
 *
 * @typedef {import("./realtime-transcript.js").Snapshot} Snapshot
 * @typedef {import("./realtime-transcript.js").Transcript} Transcript
 * @typedef {import("./realtime-transcript.js").Draft} Draft
 * @typedef {import("./realtime-transcript.js").Gap} Gap
 */

/** A final takes the place of a draft with another id when the texts are this alike. */
const SIMILAR_ENOUGH = 0.6;

/** Draft and final of one utterance may be dated apart by this much. */
const TIME_SLACK_S = 1;

/**
 * @param {string} sessionSlug
 * @returns {Snapshot}
 */
export function emptySnapshot(sessionSlug) {
  return Object.freeze({
    sessionSlug,
    connection: "closed",
    state: null,
    reason: null,
    epoch: null,
    seq: null,
    recovered: null,
    finals: [],
    drafts: [],
    gaps: [],
    error: null,
    closeCode: null,
  });
}

/**
 * @param {Snapshot} snapshot
 * @param {Partial<Snapshot>} changes
 * @returns {Snapshot}
 */
export function withChanges(snapshot, changes) {
  const keys = /** @type {(keyof Snapshot)[]} */ (Object.keys(changes));
  const changed = keys.some((key) => snapshot[key] !== changes[key]);
  return changed ? Object.freeze({ ...snapshot, ...changes }) : snapshot;
}

/**
 * @param {Snapshot} snapshot
 * @param {any} message what the server sent, already parsed
 * @param {number} now milliseconds on the caller's clock
 * @returns {Snapshot}
 */
export function applyMessage(snapshot, message, now) {
  const elsewhere = message?.sessionSlug ?? snapshot.sessionSlug;
  if (elsewhere !== snapshot.sessionSlug) return snapshot;
  switch (message?.type) {
    case "ready":
      return applyReady(snapshot, message, now);
    case "transcript":
      return applyTranscript(snapshot, message, now);
    case "status":
      return withChanges(snapshot, { state: message.state, reason: message.reason ?? null });
    case "gap":
      return applyGap(snapshot, message);
    case "error":
      return withChanges(snapshot, { error: { code: message.code, message: message.message } });
    default:
      return snapshot; // a newer server may say more than we know
  }
}

/**
 * @param {Snapshot} snapshot
 * @param {number} now
 * @param {number} settleAfterMs
 * @returns {Snapshot}
 */
export function settleDrafts(snapshot, now, settleAfterMs) {
  /** @param {Draft} draft */
  const isDue = (draft) => !draft.settled && now - draft.changedAt >= settleAfterMs;
  if (!snapshot.drafts.some(isDue)) return snapshot;
  const drafts = snapshot.drafts.map((draft) => (isDue(draft) ? { ...draft, settled: true } : draft));
  return withChanges(snapshot, { drafts });
}

/**
 * @param {string} one
 * @param {string} other
 * @returns {number}
 */
export function similarity(one, other) {
  const [shorter, longer] = [wordsOf(one), wordsOf(other)].sort((a, b) => a.length - b.length);
  if (shorter.length === 0) return 0;
  return commonInOrder(shorter, longer) / shorter.length;
}

/** @type {(snapshot: Snapshot, message: any, now: number) => Snapshot} */
function applyReady(snapshot, message, now) {
  const recovered = message.recovered ?? null;
  // Of one run all that was shown stays true, even where some of what followed is missing.
  const sameRun = message.epoch === snapshot.epoch;
  const finals = mergeFinals(sameRun ? snapshot.finals : [], validIn(message.history));
  // The server's open drafts are all there are: what is missing among them was finalised.
  const shown = sameRun ? snapshot.drafts : [];
  const drafts = validIn(message.drafts).reduce(
    (list, draft) => upsertDraft(list, draft, now, shown),
    /** @type {readonly Draft[]} */ ([]),
  );
  return withChanges(snapshot, {
    state: message.state,
    reason: null,
    epoch: message.epoch,
    seq: message.seq,
    recovered,
    finals,
    drafts,
    gaps: sameRun ? snapshot.gaps : [],
    error: null,
  });
}

/** @type {(snapshot: Snapshot, message: any, now: number) => Snapshot} */
function applyTranscript(snapshot, message, now) {
  if (!isTranscript(message)) return snapshot;
  const seq = Math.max(snapshot.seq ?? 0, message.seq ?? 0);
  if (message.isFinal) return withChanges(snapshot, { ...takeFinal(snapshot, message), seq });
  if (snapshot.finals.some((final) => final.utteranceId === message.utteranceId)) {
    return withChanges(snapshot, { seq }); // a straggler: the final has been shown
  }
  return withChanges(snapshot, { drafts: upsertDraft(snapshot.drafts, message, now), seq });
}

/** @type {(snapshot: Snapshot, final: Transcript) => Partial<Snapshot>} */
function takeFinal(snapshot, final) {
  const replaced = draftReplacedBy(snapshot, final);
  return {
    finals: mergeFinals(snapshot.finals, [final]),
    drafts: replaced ? snapshot.drafts.filter((draft) => draft !== replaced) : snapshot.drafts,
  };
}

/**
 * The draft that a final makes good: the one with its id, else the most similar of its time.
 * A correction of a final that is already shown takes no draft but its own.
 *
 * @type {(snapshot: Snapshot, final: Transcript) => Draft | undefined}
 */
function draftReplacedBy({ drafts, finals }, final) {
  /** @param {Transcript} each */
  const hasItsId = (each) => each.utteranceId === final.utteranceId;
  const own = drafts.find(hasItsId);
  if (own || finals.some(hasItsId)) return own;
  // The draft of a later piece ("u1.2") was that of the whole ("u1"), which is gone already.
  const whole = final.utteranceId.replace(/\.\d+$/, "");
  if (finals.some((each) => each.utteranceId === whole)) return undefined;
  const ranked = drafts
    .filter((draft) => areOfOneTime(draft, final))
    .map((draft) => ({ draft, likeness: similarity(draft.text, final.text) }))
    .filter(({ likeness }) => likeness >= SIMILAR_ENOUGH)
    .sort((a, b) => b.likeness - a.likeness);
  return ranked[0]?.draft;
}

/** @type {(one: Transcript, other: Transcript) => boolean} */
function areOfOneTime(one, other) {
  const latestStart = Math.max(one.startedAt ?? NaN, other.startedAt ?? NaN);
  const earliestEnd = Math.min(one.endedAt ?? NaN, other.endedAt ?? NaN);
  return !(latestStart > earliestEnd + TIME_SLACK_S); // undated: the text alone decides
}

/** @type {(shown: readonly Transcript[], finals: readonly Transcript[]) => readonly Transcript[]} */
function mergeFinals(shown, finals) {
  const byId = new Map(shown.map((final) => [final.utteranceId, final]));
  const news = finals.filter((final) => isNewer(final, byId.get(final.utteranceId)));
  if (news.length === 0) return shown;
  for (const final of news) byId.set(final.utteranceId, final);
  // An empty final takes back what its draft claimed to have heard.
  return withNewestNames([...byId.values()].filter((final) => final.text.trim())).sort(byStart);
}

/**
 * What somebody was called last holds for all that they said.
 *
 * @type {(finals: Transcript[]) => Transcript[]}
 */
function withNewestNames(finals) {
  /** @type {Map<string, Transcript>} */
  const newest = new Map();
  for (const final of finals) {
    const known = newest.get(final.speakerId);
    if (!known || (final.seq ?? 0) >= (known.seq ?? 0)) newest.set(final.speakerId, final);
  }
  return finals.map((final) => {
    const name = final.speakerId && newest.get(final.speakerId)?.speaker;
    const isNamed = !name || name === final.speaker;
    const others = final.speakers?.map((each) => {
      const known = newest.get(each.id)?.speaker ?? each.name;
      return known === each.name ? each : { ...each, name: known };
    });
    const areNamed = !others?.some((each, at) => each !== final.speakers?.[at]);
    if (isNamed && areNamed) return final;
    return { ...final, speaker: name || final.speaker, ...(others && { speakers: others }) };
  });
}

/** @type {(drafts: readonly Draft[], news: Transcript, now: number, known?: readonly Draft[]) => readonly Draft[]} */
function upsertDraft(drafts, news, now, known = drafts) {
  const shown = known.find((draft) => draft.utteranceId === news.utteranceId);
  if (known === drafts && !isNewer(news, shown)) return drafts;
  const others = drafts.filter((draft) => draft.utteranceId !== news.utteranceId);
  if (!news.text.trim()) return others;
  const kept = shown?.text === news.text ? shown : { changedAt: now, settled: false };
  const draft = { ...news, changedAt: kept.changedAt, settled: kept.settled };
  return [...others, draft].sort(byStart);
}

/** @type {(snapshot: Snapshot, message: any) => Snapshot} */
function applyGap(snapshot, { from, to, reason }) {
  if (!Number.isFinite(from) || !Number.isFinite(to)) return snapshot;
  if (snapshot.gaps.some((gap) => gap.from === from && gap.to === to)) return snapshot;
  const gap = { from, to, reason: String(reason ?? "") };
  return withChanges(snapshot, { gaps: [...snapshot.gaps, gap].sort((a, b) => a.from - b.from) });
}

/** @type {(news: Transcript, shown: Transcript | undefined) => boolean} */
function isNewer(news, shown) {
  return shown?.rev == null || news.rev == null || news.rev > shown.rev;
}

/** @type {(a: Transcript, b: Transcript) => number} */
function byStart(a, b) {
  const [first, second] = [a.startedAt ?? Infinity, b.startedAt ?? Infinity];
  return first === second ? (a.seq ?? a.ts) - (b.seq ?? b.ts) : first - second;
}

/** @type {(list: unknown) => Transcript[]} */
function validIn(list) {
  return Array.isArray(list) ? list.filter(isTranscript) : [];
}

/** @type {(message: any) => message is Transcript} */
function isTranscript(message) {
  return typeof message?.utteranceId === "string" && typeof message.text === "string";
}

/** @type {(text: string) => string[]} */
function wordsOf(text) {
  // Scripts that put no space between words are compared sign by sign.
  const words = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|[\p{L}\p{M}\p{N}]+/gu;
  return text.toLowerCase().match(words) ?? [];
}

/**
 * The length of the longest common subsequence.
 *
 * @type {(shorter: readonly string[], longer: readonly string[]) => number}
 */
function commonInOrder(shorter, longer) {
  let above = new Array(shorter.length + 1).fill(0);
  for (const word of longer) {
    const row = [0];
    shorter.forEach((other, at) => {
      row.push(word === other ? above[at] + 1 : Math.max(row[at], above[at + 1]));
    });
    above = row;
  }
  return above[shorter.length];
}
