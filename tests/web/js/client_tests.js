import { run, same, test, yes } from "./check.js";
import { FakeClock, fakeSockets, flushed } from "./fakes.js";
import { RealtimeTranscript, longestPause } from "/static/realtime-transcript.js";

export { run };

const READY = {
  type: "ready", sessionSlug: "weekly", state: "live", epoch: "one", seq: 7, drafts: [], history: [],
};
const DRAFT = {
  type: "transcript", sessionSlug: "weekly", utteranceId: "a", text: "Hello", isFinal: false,
  speaker: "Alice", speakerId: "alice:1", ts: 0, seq: 8, rev: 1,
};

async function started(options = {}) {
  const clock = new FakeClock();
  const { opened, FakeSocket } = fakeSockets();
  const given = { clock, WebSocket: FakeSocket, random: () => 1, sessionSlug: "weekly", ...options };
  const client = new RealtimeTranscript(given);
  client.start();
  await flushed();
  return { client, clock, opened };
}

async function connected(options) {
  const all = await started(options);
  all.opened[0].accept();
  all.opened[0].say(READY);
  return all;
}

test("it subscribes in the first message and keeps the token out of the address", async () => {
  const { opened } = await started({ url: "https://captions.example", token: "secret" });
  opened[0].accept();
  same(opened[0].url, "wss://captions.example/api/realtime/transcribe");
  same(opened[0].sent, [{ type: "subscribe", sessionSlug: "weekly", token: "secret" }]);
});

test("a token may be a function that is asked before each attempt", async () => {
  let asked = 0;
  const { clock, opened } = await connected({ token: async () => `token-${++asked}` });
  opened[0].end(1006);
  await clock.pass(1000);
  opened[1].accept();
  same([opened[0].sent[0].token, opened[1].sent[0].token], ["token-1", "token-2"]);
});

test("a token that cannot be had is asked for again", async () => {
  let asked = 0;
  const token = () => (++asked === 1 ? Promise.reject(new Error("offline")) : "ok");
  const { client, clock, opened } = await started({ token });
  same([client.getSnapshot().connection, opened.length], ["reconnecting", 0]);
  await clock.pass(1000);
  same(opened.length, 1);
});

test("cut off, it comes back with since and epoch", async () => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 4001, 4008, 4408, 4429]) {
    const { client, clock, opened } = await connected();
    opened[0].say(DRAFT);
    opened[0].end(code);
    same([code, client.getSnapshot().connection], [code, "reconnecting"]);
    await clock.pass(30_000);
    opened[1].accept();
    same(opened[1].sent, [{ type: "subscribe", sessionSlug: "weekly", since: 8, epoch: "one" }]);
    client.stop();
  }
});

test("refused, it does not come back", async () => {
  for (const code of [1008, 4400, 4401, 4403]) {
    const { client, clock, opened } = await connected();
    opened[0].end(code, "no");
    await clock.pass(1_000_000);
    const { connection, closeCode, error } = client.getSnapshot();
    same([opened.length, connection, closeCode, error.message], [1, "closed", code, "no"]);
  }
});

test("it leaves when the session has ended and the server says goodbye", async () => {
  const { client, clock, opened } = await connected();
  opened[0].say({ type: "status", sessionSlug: "weekly", state: "ended" });
  opened[0].end(1000);
  await clock.pass(1_000_000);
  same([opened.length, client.getSnapshot().connection, client.getSnapshot().error], [1, "closed", null]);
});

test("a goodbye in mid-session is no end", async () => {
  const { clock, opened } = await connected();
  opened[0].end(1000);
  await clock.pass(1000);
  same(opened.length, 2);
});

test("an unknown session is looked for slowly, at an even pace", async () => {
  const { client, clock, opened } = await started({ random: () => 0.5 });
  for (let time = 0; time < 5; time++) {
    opened.at(-1).accept();
    opened.at(-1).say({ type: "error", code: "unknown_session", message: "no session weekly" });
    opened.at(-1).end(4404);
    same(client.getSnapshot().error, { code: "unknown_session", message: "no session weekly" });
    await clock.pass(5000);
  }
  same(opened.length, 6);
});

test("an unknown session is given up at once when that is asked for", async () => {
  const { client, opened } = await started({ retryUnknownSessionMs: 0 });
  opened[0].end(4404);
  const { connection, error } = client.getSnapshot();
  same([connection, error.code], ["closed", "unknown_session"]);
});

test("pauses double up to the longest, and jitter takes anything below", async () => {
  same([0, 1, 2, 9].map((attempt) => longestPause(attempt, 1000, 30_000)), [1000, 2000, 4000, 30_000]);
  const { clock, opened } = await started({ random: () => 0.5 });
  const pauses = [];
  for (let time = 0; time < 4; time++) {
    opened.at(-1).end(1006);
    const [before, count] = [clock.now(), opened.length];
    while (opened.length === count) await clock.pass(100);
    pauses.push(clock.now() - before);
  }
  same(pauses, [500, 1000, 2000, 4000]);
});

test("pauses start over only after a connection that held", async () => {
  const { clock, opened } = await started();
  const cutAfter = async (ms) => {
    opened.at(-1).accept();
    opened.at(-1).say(READY);
    await clock.pass(ms);
    opened.at(-1).end(1006);
    const count = opened.length;
    await clock.pass(1000);
    return opened.length > count;
  };
  same(await cutAfter(0), true);
  same(await cutAfter(0), false); // the server accepts and drops: do not hammer it
  await clock.pass(1000);
  same(await cutAfter(10_000), true);
});

test("a server that is full is left alone for longer", async () => {
  const { clock, opened } = await started();
  opened[0].end(4429);
  await clock.pass(7999);
  same(opened.length, 1);
  await clock.pass(1);
  same(opened.length, 2);
});

test("silence after a ping means a dead link", async () => {
  const { client, clock, opened } = await connected();
  await clock.pass(20_000);
  same(opened[0].sent.at(-1), { type: "ping" });
  await clock.pass(19_999);
  same(client.getSnapshot().connection, "open");
  await clock.pass(1);
  same([client.getSnapshot().connection, opened[0].closed], ["reconnecting", true]);
});

test("a link that answers lives for ever", async () => {
  const { client, clock, opened } = await connected();
  for (let time = 0; time < 50; time++) {
    await clock.pass(20_000);
    opened[0].say({ type: "pong" });
  }
  same([opened.length, client.getSnapshot().connection], [1, "open"]);
});

test("a server that accepts and says nothing is left", async () => {
  const { client, clock, opened } = await started();
  opened[0].accept();
  await clock.pass(10_000);
  same([client.getSnapshot().connection, opened[0].closed], ["reconnecting", true]);
});

test("back online, it tries at once", async () => {
  const { clock, opened } = await connected();
  opened[0].end(1006);
  globalThis.dispatchEvent(new Event("online"));
  await flushed();
  same(opened.length, 2);
  await clock.pass(1000);
  same(opened.length, 2); // the attempt that was due has been made
});

test("back online, an open link has five seconds to show it is alive", async () => {
  const { client, clock, opened } = await connected();
  globalThis.dispatchEvent(new Event("online"));
  same(opened[0].sent.at(-1), { type: "ping" });
  await clock.pass(5000);
  same(client.getSnapshot().connection, "reconnecting");
});

test("drafts settle by themselves", async () => {
  const { client, clock, opened } = await connected({ settleAfterMs: 300 });
  opened[0].say(DRAFT);
  await clock.pass(299);
  same(client.getSnapshot().drafts[0].settled, false);
  await clock.pass(1);
  same(client.getSnapshot().drafts[0].settled, true);
});

test("a listener hears each change once, and none after it left", async () => {
  const { client, opened } = await connected();
  let [heard, dispatched] = [0, 0];
  const leave = client.subscribe(() => heard++);
  client.addEventListener("change", () => dispatched++);
  opened[0].say(DRAFT);
  opened[0].say({ type: "pong" });
  leave();
  opened[0].say({ ...DRAFT, rev: 2, text: "Hello all" });
  same([heard, dispatched], [1, 2]);
});

test("the snapshot stays the same object until something changes", async () => {
  const { client, opened } = await connected();
  const { getSnapshot } = client; // React calls it unbound
  const before = getSnapshot();
  opened[0].say({ type: "pong" });
  opened[0].say("{ not json");
  yes(getSnapshot() === before);
  opened[0].say(DRAFT);
  yes(getSnapshot() !== before);
});

test("the active speaker is reported while connected, and never late", async () => {
  const { client, opened } = await started();
  const alice = { identity: "alice:1", name: "Alice", timestamp: 5 };
  same(client.reportActiveSpeaker(alice), false);
  opened[0].accept();
  opened[0].say(READY);
  same(client.reportActiveSpeaker(alice), true);
  same(opened[0].sent.at(-1), { type: "active-speaker", ...alice });
  opened[0].end(1006);
  same(client.reportActiveSpeaker(alice), false);
});

test("stop is for good, keeps what was received, and may come at any time", async () => {
  const { client, clock, opened } = await connected();
  opened[0].say(DRAFT);
  client.stop();
  client.stop();
  opened[0].say({ ...DRAFT, rev: 2, text: "too late" });
  await clock.pass(1_000_000);
  const { connection, drafts } = client.getSnapshot();
  same([opened.length, opened[0].closed, connection, drafts[0].text], [1, true, "closed", "Hello"]);
});

test("stopped while it waits for a token, it opens nothing", async () => {
  let give;
  const { client, opened } = await started({ token: () => new Promise((resolve) => (give = resolve)) });
  client.stop();
  give("late");
  await flushed();
  same(opened.length, 0);
});

test("started again, it resumes", async () => {
  const { client, opened } = await connected();
  client.stop();
  client.start();
  client.start();
  await flushed();
  opened[1].accept();
  same([opened.length, opened[1].sent[0].since], [2, 7]);
});

test("a bad address fails at once, not for ever", () => {
  let failure = null;
  try {
    new RealtimeTranscript({ url: "http://[", sessionSlug: "weekly" });
  } catch (error) {
    failure = error;
  }
  yes(failure instanceof TypeError);
});

test("an address the browser refuses is tried again and breaks nothing", async () => {
  class Refusing {
    constructor() {
      throw new DOMException("mixed content", "SecurityError");
    }
  }
  const { client } = await started({ WebSocket: Refusing });
  same(client.getSnapshot().connection, "reconnecting");
});
