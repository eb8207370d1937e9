// The parts that can be tested without a socket or a process.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ClientConnections } from "../server/client-connection.js";
import { ffmpegArguments, lastLines } from "../server/ffmpeg-decoder.js";
import { parseTranscriptMessage } from "../server/gladia-bridge.js";
import { RealtimeMetrics } from "../server/realtime-metrics.js";
import { transcriptPayload } from "../server/rtmp-ingest.js";
import { slugOf } from "../server/rtmp-server.js";
import { TranscriptBatchQueue } from "../server/transcript-batch-queue.js";

const UTTERANCE = { text: " Hello world", start: 0.5, end: 1.25 };
const FINAL = JSON.stringify({ type: "transcript", data: { id: "00_1", is_final: true, utterance: UTTERANCE } });

function client(readyState = 1) {
  const handlers = {};
  return {
    readyState,
    received: [],
    send(message) {
      this.received.push(message);
    },
    on: (name, handler) => (handlers[name] = handler),
    leave: () => handlers.close(),
  };
}

test("a final carries its text without the leading space and the end of its speech", () => {
  assert.deepEqual(parseTranscriptMessage(FINAL, 10_000, 12_000), {
    utteranceId: "00_1",
    text: "Hello world",
    isFinal: true,
    speakerId: undefined,
    speakerName: undefined,
    startedAt: 10_500,
    endedAt: 11_250,
    receivedAt: 12_000,
  });
});

test("a draft has no end yet", () => {
  const draft = FINAL.replace('"is_final":true', '"is_final":false');
  assert.equal(parseTranscriptMessage(draft, 0, 0).endedAt, undefined);
});

test("messages that are no transcript are passed over", () => {
  for (const message of ['{"type":"speech_start","data":{}}', '{"type":"transcript","data":null}']) {
    assert.equal(parseTranscriptMessage(message, 0, 0), null);
  }
});

test("the active speaker is named, then Gladia's, then the room", () => {
  const event = { utteranceId: "00_1", text: "hi", isFinal: false };
  const speakerOf = (...args) => transcriptPayload("weekly", ...args, 7).speaker;
  assert.equal(speakerOf({ ...event, speakerName: "S1" }, { identity: "alice:1", name: "Alice" }), "Alice");
  assert.equal(speakerOf({ ...event, speakerName: "S1" }, undefined), "S1");
  assert.equal(speakerOf(event, undefined), "room");
});

test("a broadcast reaches the open clients of its session only", () => {
  const clients = new ClientConnections();
  const [here, closing, elsewhere] = [client(), client(2), client()];
  clients.add("weekly", here);
  clients.add("weekly", closing);
  clients.add("other", elsewhere);
  assert.equal(clients.broadcastToSessionClients("weekly", { text: "hi" }), 1);
  assert.deepEqual(here.received, ['{"text":"hi"}']);
  assert.deepEqual([closing.received, elsewhere.received], [[], []]);
});

test("a client that has left gets nothing more", () => {
  const clients = new ClientConnections();
  const left = client();
  clients.add("weekly", left);
  left.leave();
  assert.equal(clients.broadcastToSessionClients("weekly", {}), 0);
});

test("fifty finals make a batch at once", () => {
  const batches = [];
  const queue = new TranscriptBatchQueue((batch) => batches.push(batch.length));
  for (let row = 0; row < 51; row += 1) {
    queue.add(row);
  }
  queue.flush();
  assert.deepEqual(batches, [50, 1]);
});

test("two seconds make a batch of what there is", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const batches = [];
  new TranscriptBatchQueue((batch) => batches.push(batch)).add("row");
  t.mock.timers.tick(1999);
  assert.deepEqual(batches, []);
  t.mock.timers.tick(1);
  assert.deepEqual(batches, [["row"]]);
});

test("metrics keep count, average, least and most, and speak every 100 records", () => {
  const lines = [];
  const metrics = new RealtimeMetrics((line) => lines.push(line));
  for (let ms = 1; ms <= 100; ms += 1) {
    metrics.record("ws.broadcast_loop_ms", ms);
  }
  assert.deepEqual(metrics.snapshot()["ws.broadcast_loop_ms"], { count: 100, avgMs: 50.5, minMs: 1, maxMs: 100 });
  assert.equal(lines.length, 1);
});

test("the command is the original's, in its order unless told otherwise", () => {
  assert.equal(
    ffmpegArguments("rtmp://localhost:1937/live/weekly", false).join(" "),
    "-i rtmp://localhost:1937/live/weekly -f s16le -acodec pcm_s16le -ar 16000 -ac 1 " +
      "-fflags nobuffer -flags low_delay -probesize 4096 -analyzeduration 100000 -",
  );
  assert.equal(ffmpegArguments("url", true)[8], "-i");
});

test("a stream path gives its slug, a stderr its last lines", () => {
  assert.equal(slugOf("/live/weekly"), "weekly");
  assert.deepEqual(lastLines("one\r\ntwo\rthree\n", 2), ["two", "three"]);
});
