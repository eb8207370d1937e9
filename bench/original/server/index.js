// Everything in one process: reads the environment, builds the parts, ends them on SIGTERM.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ActiveSpeakerTracker } from "./active-speaker-tracker.js";
import { ClientConnections } from "./client-connection.js";
import { createHttpServer } from "./http-server.js";
import { RealtimeMetrics } from "./realtime-metrics.js";
import { RtmpIngest } from "./rtmp-ingest.js";
import { RtmpServer } from "./rtmp-server.js";
import { TranscriptBatchQueue } from "./transcript-batch-queue.js";

const { env } = process;
const config = {
  port: Number(env.PORT ?? 3001),
  rtmpPort: Number(env.RTMP_INTERNAL_PORT ?? 1937),
  gladiaApiUrl: env.GLADIA_API_URL ?? "https://api.gladia.io",
  gladiaApiKey: env.GLADIA_API_KEY ?? "",
  ffmpegPath: env.FFMPEG_PATH ?? "ffmpeg",
  ffmpegFlagsFirst: env.FFMPEG_FLAGS_FIRST === "true",
};

const storePath = await mkdtemp(join(tmpdir(), "original-store-"));
const rtmpServer = new RtmpServer({ port: config.rtmpPort, storePath });
const clients = new ClientConnections();
const speakers = new ActiveSpeakerTracker();
const metrics = new RealtimeMetrics();
let finalsWritten = 0;
const queue = new TranscriptBatchQueue((batch) => {
  finalsWritten += batch.length;
});
const parts = { rtmpServer, clients, speakers, queue, metrics, config };
const ingests = new Map();

function startSession({ sessionSlug }) {
  if (!sessionSlug) {
    return [400, { error: "sessionSlug is missing" }];
  }
  if (!ingests.has(sessionSlug)) {
    console.log(`[WS-SERVER] Received transcription start request ${sessionSlug}`);
    const ingest = new RtmpIngest(sessionSlug, parts);
    ingests.set(sessionSlug, ingest);
    ingest.start();
  }
  return [200, { sessionSlug, rtmpUrl: `rtmp://localhost:${config.rtmpPort}/live/${sessionSlug}` }];
}

async function stopSession({ sessionSlug }) {
  const ingest = ingests.get(sessionSlug);
  ingests.delete(sessionSlug);
  await ingest?.stop();
  return [200, { sessionSlug }];
}

const httpServer = createHttpServer({
  "GET /healthz": () => [200, { ok: true }],
  "GET /metrics": () => [200, { ...metrics.snapshot(), finalsWritten }],
  "POST /api/realtime/transcribe/start": startSession,
  "POST /api/realtime/transcribe/stop": stopSession,
  "POST /api/active-speaker": (sample) => {
    speakers.update(sample);
    return [200, { ok: true }];
  },
}, clients);

let stopping = false; // Node-Media-Server's store repeats the signal to the process
async function shutDown() {
  if (stopping) {
    return;
  }
  stopping = true;
  await Promise.allSettled([...ingests.values()].map((ingest) => ingest.stop()));
  queue.flush();
  await rtmpServer.stop();
  await rm(storePath, { recursive: true, force: true });
  process.exit(0); // the clients' sockets and the HTTP server go with the process
}
process.on("SIGTERM", shutDown);
process.on("SIGINT", shutDown);

await rtmpServer.run();
httpServer.listen(config.port, "127.0.0.1", () => console.log(`[WS-SERVER] listening on ${config.port}`));
