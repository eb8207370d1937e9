// One session: its stream to FFmpeg, the PCM to Gladia, the transcripts to its clients and to the batch queue.
import { FfmpegDecoder, ffmpegArguments } from "./ffmpeg-decoder.js";
import { GladiaBridge } from "./gladia-bridge.js";

/** The payload clients get: the event, with the name of who is speaking now. */
export function transcriptPayload(sessionSlug, event, activeSpeaker, ts) {
  return {
    type: "transcript",
    sessionSlug,
    utteranceId: event.utteranceId,
    text: event.text,
    isFinal: event.isFinal,
    speaker: activeSpeaker?.name ?? event.speakerName ?? "room",
    speakerId: activeSpeaker?.identity ?? event.speakerId ?? "room",
    ts,
  };
}

export class RtmpIngest {
  #decoder = null;
  #bridge = null;

  /** `parts` are what all sessions share: rtmpServer, clients, speakers, queue, metrics, config. */
  constructor(sessionSlug, parts) {
    this.sessionSlug = sessionSlug;
    this.parts = parts;
  }

  /** Wait for the stream; begin at once when it is already there. */
  start() {
    const { rtmpServer } = this.parts;
    rtmpServer.registerStreamHandler(this.sessionSlug, this);
    if (rtmpServer.isPublishing(this.sessionSlug)) {
      this.startFFmpegNow();
    }
  }

  onStreamStart() {
    this.startFFmpegNow();
  }

  onStreamEnd() {
    this.#stopPipeline().catch((error) => console.error(`[RTMPIngest] ${this.sessionSlug}: ${error.message}`));
  }

  startFFmpegNow() {
    // A publisher that comes back within the RTMP server's grace finds the pipeline as it was.
    if (this.#decoder?.running) {
      return;
    }
    console.log(`[RTMPIngest] LiveKit Egress connected to RTMP stream ${this.sessionSlug}`);
    if (this.#bridge === null) {
      this.#startBridge();
    }
    this.#startDecoder(this.#bridge);
  }

  #startBridge() {
    const { gladiaApiUrl, gladiaApiKey } = this.parts.config;
    this.#bridge = new GladiaBridge({
      apiUrl: gladiaApiUrl,
      apiKey: gladiaApiKey,
      sessionSlug: this.sessionSlug,
      onTranscript: (event) => this.handleTranscript(event),
    });
    this.#bridge.start().catch((error) => console.error(`[GladiaBridge] ${this.sessionSlug}: ${error.message}`));
  }

  #startDecoder(bridge) {
    const { ffmpegPath, ffmpegFlagsFirst, rtmpPort } = this.parts.config;
    const url = `rtmp://localhost:${rtmpPort}/live/${this.sessionSlug}`;
    this.#decoder = new FfmpegDecoder({
      command: ffmpegPath,
      args: ffmpegArguments(url, ffmpegFlagsFirst),
      label: this.sessionSlug,
      onPcm: (pcm) => bridge.sendAudio(pcm),
    });
    this.#decoder.start();
  }

  handleTranscript(event) {
    const { clients, metrics, queue, speakers } = this.parts;
    const payload = transcriptPayload(
      this.sessionSlug, event, speakers.getActiveSpeaker(this.sessionSlug), Date.now());
    const loopStartedAt = performance.now();
    clients.broadcastToSessionClients(this.sessionSlug, payload);
    metrics.record("ws.broadcast_loop_ms", performance.now() - loopStartedAt);
    metrics.record("ingest.broadcast_latency_ms", Date.now() - event.receivedAt);
    if (event.isFinal) {
      metrics.record("gladia.stt_latency_ms", event.receivedAt - event.endedAt);
      queue.add(payload);
    }
  }

  /** End the session: its FFmpeg, its Gladia session, its place in the RTMP server. */
  async stop() {
    this.parts.rtmpServer.unregisterStreamHandler(this.sessionSlug);
    this.parts.speakers.forget(this.sessionSlug);
    await this.#stopPipeline();
  }

  async #stopPipeline() {
    const [decoder, bridge] = [this.#decoder, this.#bridge];
    this.#decoder = null;
    this.#bridge = null;
    await decoder?.stop();
    await bridge?.stop();
  }
}
