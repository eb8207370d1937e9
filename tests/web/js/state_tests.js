import { run, same, test, yes } from "./check.js";
import { applyMessage, emptySnapshot, settleDrafts, similarity } from "/static/realtime-transcript.js";

export { run };

const transcript = (utteranceId, text, isFinal, more = {}) => ({
  type: "transcript",
  sessionSlug: "weekly",
  utteranceId,
  text,
  isFinal,
  speaker: "Alice",
  speakerId: "alice:1",
  ts: 0,
  seq: 1,
  rev: 1,
  startedAt: 1,
  endedAt: 2,
  ...more,
});
const draft = (id, text, more) => transcript(id, text, false, more);
const final = (id, text, more) => transcript(id, text, true, more);
const ready = (more) => ({
  type: "ready",
  sessionSlug: "weekly",
  state: "live",
  epoch: "one",
  seq: 7,
  drafts: [],
  history: [],
  ...more,
});
const after = (...messages) =>
  messages.reduce((state, message, at) => applyMessage(state, message, at * 1000), emptySnapshot("weekly"));
const texts = (list) => list.map(({ text }) => text);

test("ready brings the history, the drafts and where to resume", () => {
  const state = after(ready({ history: [final("a", "One")], drafts: [draft("b", "Two")] }));
  same([texts(state.finals), texts(state.drafts)], [["One"], ["Two"]]);
  same([state.epoch, state.seq, state.state, state.recovered], ["one", 7, "live", null]);
});

test("a draft is replaced by its next snapshot", () => {
  const state = after(draft("a", "Hel", { rev: 1 }), draft("a", "Hello", { rev: 2 }));
  same(texts(state.drafts), ["Hello"]);
});

test("an older revision changes nothing", () => {
  const shown = after(draft("a", "Hello", { rev: 2 }));
  same(texts(applyMessage(shown, draft("a", "Hel", { rev: 1 }), 9).drafts), ["Hello"]);
  const done = after(final("a", "Hello", { rev: 3 }));
  same(applyMessage(done, final("a", "Hel", { rev: 2 }), 9), done);
});

test("a final takes the place of the draft with its id", () => {
  const state = after(draft("a", "completely other words"), final("a", "Hello", { rev: 2 }));
  same([texts(state.drafts), texts(state.finals)], [[], ["Hello"]]);
});

test("a final with another id takes the place of the most similar draft", () => {
  const state = after(
    draft("a", "we meet again on"),
    draft("b", "the cat sat on the"),
    final("c", "The cat sat on the mat.", { seq: 3 }),
  );
  same([texts(state.drafts), texts(state.finals)], [["we meet again on"], ["The cat sat on the mat."]]);
});

test("a final leaves alone a draft that says something else", () => {
  const state = after(draft("a", "good morning everyone"), final("b", "The cat sat on the mat."));
  same(texts(state.drafts), ["good morning everyone"]);
});

test("a final leaves alone a similar draft of another time", () => {
  const later = { startedAt: 60, endedAt: 61 };
  same(texts(after(draft("a", "yes", later), final("b", "Yes.")).drafts), ["yes"]);
});

test("a correction of a shown final takes no draft that repeats its words", () => {
  const state = after(final("a", "I agree"), draft("b", "I agree"), final("a", "I agree.", { rev: 2 }));
  same([texts(state.finals), texts(state.drafts)], [["I agree."], ["I agree"]]);
});

test("a draft that comes after its final is not shown", () => {
  same(after(final("a", "Hello"), draft("a", "Hel", { rev: 2 })).drafts, []);
});

test("a later final replaces an earlier one of its utterance", () => {
  const state = after(final("a", "Hello"), final("a", "Hello all", { rev: 2 }));
  same(texts(state.finals), ["Hello all"]);
});

test("an empty final takes back its draft", () => {
  const state = after(draft("a", "uh"), final("a", "", { rev: 2 }));
  same([state.drafts, state.finals], [[], []]);
});

test("what somebody is called last holds for all that they said", () => {
  const guest = { speaker: "Guest", seq: 1 };
  const named = { speaker: "Alice Smith", seq: 3, startedAt: 9 };
  const other = { speaker: "Bob", speakerId: "bob:1", seq: 2, startedAt: 4 };
  const state = after(final("a", "One", guest), final("b", "Two", other), final("c", "Three", named));
  same(state.finals.map(({ speaker }) => speaker), ["Alice Smith", "Bob", "Alice Smith"]);
  const late = applyMessage(state, final("d", "Zero", { ...guest, startedAt: 0 }), 9); // of the history
  same(late.finals.map(({ speaker }) => speaker), ["Alice Smith", "Alice Smith", "Bob", "Alice Smith"]);
});

test("finals stand in the order they were spoken", () => {
  const at = (startedAt, seq) => ({ startedAt, endedAt: startedAt + 1, seq });
  const state = after(final("b", "Two", at(5, 1)), final("a", "One", at(1, 2)), final("c", "Three", at(9, 3)));
  same(texts(state.finals), ["One", "Two", "Three"]);
});

test("the original eight fields are enough", () => {
  const plain = (id, text, isFinal, ts) => ({
    type: "transcript", sessionSlug: "weekly", utteranceId: id, text, isFinal, speaker: "A", speakerId: "a", ts,
  });
  const state = after(plain("x", "Hel", false, 1), plain("x", "Hello", true, 2), plain("y", "there", true, 3));
  same([texts(state.finals), texts(state.drafts)], [["Hello", "there"], []]);
});

test("a draft settles when it has not changed for long enough, and stirs when it does", () => {
  const shown = applyMessage(emptySnapshot("weekly"), draft("a", "Hello"), 1000);
  same(settleDrafts(shown, 5999, 5000), shown);
  const settled = settleDrafts(shown, 6000, 5000);
  same(settled.drafts[0].settled, true);
  const repeated = applyMessage(settled, draft("a", "Hello", { rev: 2 }), 7000);
  same([repeated.drafts[0].settled, repeated.drafts[0].changedAt], [true, 1000]);
  const changed = applyMessage(repeated, draft("a", "Hello all", { rev: 3 }), 8000);
  same([changed.drafts[0].settled, changed.drafts[0].changedAt], [false, 8000]);
});

test("a recovered resume adds what was missed and keeps what was shown", () => {
  const state = after(
    ready({ history: [final("a", "One")] }),
    draft("b", "Tw"),
    ready({ recovered: true, seq: 9, history: [final("b", "Two", { seq: 9, rev: 2, startedAt: 3 })] }),
  );
  same([texts(state.finals), state.drafts, state.seq], [["One", "Two"], [], 9]);
});

test("a recovered resume does not restart the clock of a draft it repeats", () => {
  const state = after(
    ready(),
    draft("a", "Hello"),
    ready({ recovered: true, drafts: [draft("a", "Hello")] }),
  );
  same(state.drafts[0].changedAt, 1000);
});

test("a resume of the same run that could not recover keeps what was shown", () => {
  const state = after(
    ready({ history: [final("a", "One"), final("b", "Two", { seq: 2, startedAt: 3 })] }),
    draft("c", "Thr"),
    ready({
      recovered: false,
      seq: 9,
      history: [final("b", "Two.", { seq: 8, rev: 2, startedAt: 3 }), final("d", "Four", { seq: 9, startedAt: 7 })],
    }),
  );
  same([texts(state.finals), state.drafts, state.recovered], [["One", "Two.", "Four"], [], false]);
});

test("a resume in another run replaces the list by its history", () => {
  const state = after(
    ready({ history: [final("a", "One")] }),
    draft("b", "Tw"),
    { type: "gap", sessionSlug: "weekly", from: 1, to: 2, reason: "" },
    ready({ recovered: false, epoch: "two", seq: 1, history: [final("c", "Three")] }),
  );
  same([texts(state.finals), state.drafts, state.gaps], [["Three"], [], []]);
  same([state.recovered, state.epoch, state.seq], [false, "two", 1]);
});

test("gaps are kept in order and told once", () => {
  const gap = (from, to) => ({ type: "gap", sessionSlug: "weekly", from, to, reason: "stt unavailable" });
  const state = after(gap(9, 10), gap(1, 2), gap(9, 10));
  same(state.gaps.map(({ from }) => from), [1, 9]);
});

test("status and error are kept for showing", () => {
  const state = after(
    { type: "status", sessionSlug: "weekly", state: "reconnecting", reason: "publisher lost" },
    { type: "error", code: "unknown_session", message: "no such session" },
  );
  same([state.state, state.reason], ["reconnecting", "publisher lost"]);
  same(state.error, { code: "unknown_session", message: "no such session" });
});

test("what is not understood changes nothing, not even the object", () => {
  const shown = after(ready({ history: [final("a", "One")] }));
  const odd = [
    null, 7, "text", [], {}, { type: "pong" }, { type: "news from tomorrow" }, { type: "constructor" },
    { type: "transcript" }, { type: "transcript", utteranceId: 5, text: "x" }, { type: "gap", from: "x" },
    final("b", "other session", { sessionSlug: "other" }),
  ];
  for (const message of odd) yes(applyMessage(shown, message, 5) === shown);
});

test("no snapshot is ever changed in place", () => {
  const before = after(ready({ history: [final("a", "One")], drafts: [draft("b", "Two")] }));
  const copy = JSON.stringify(before);
  applyMessage(before, final("b", "Two!", { rev: 2 }), 5);
  settleDrafts(before, 1e9, 1);
  same(JSON.stringify(before), copy);
  yes(Object.isFrozen(before));
});

test("a later piece of an utterance leaves the draft of the next one alone", () => {
  const state = after(
    draft("a", "shall we begin yes I think so", { startedAt: 10, endedAt: 13 }),
    draft("b", "yes", { startedAt: 13.4, endedAt: 13.7 }),
    final("a", "shall we begin", { rev: 2, startedAt: 10, endedAt: 11.4 }),
    final("a.2", "yes I think so", { startedAt: 11.6, endedAt: 13, speakerId: "bob:1" }),
  );
  same([texts(state.drafts), texts(state.finals)], [["yes"], ["shall we begin", "yes I think so"]]);
});

test("the newest name of a person holds for what was spoken along, too", () => {
  const speakers = [{ id: "alice:1", name: "Alice", share: 0.6 }, { id: "bob:1", name: "Guest", share: 0.4 }];
  const state = after(
    final("a", "One", { speakers }),
    final("b", "Two", { seq: 2, startedAt: 3, endedAt: 4, speakerId: "bob:1", speaker: "Bob" }),
  );
  same(state.finals[0].speakers.map(({ name }) => name), ["Alice", "Bob"]);
});

test("similarity is about words, their order, and what the shorter text has", () => {
  same(similarity("Hello there", "hello, THERE!"), 1);
  same(similarity("the cat sat", "well the cat just sat down"), 1);
  same(similarity("one two three four", "four three two one"), 0.25);
  same([similarity("", "x"), similarity("...", "...")], [0, 0]);
  same(similarity("今日は天気", "今日は、いい天気ですね"), 1);
  same(similarity("привет как", "Привет, как дела?"), 1);
});
