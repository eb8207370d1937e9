// One Gladia Live v2 session: POST for its url, a WebSocket to it, PCM out and transcripts in.
import { WebSocket } from "ws";

const STOP_TIMEOUT_MS = 5000;

// Partials are off unless asked for. Acknowledgements are on unless declined: nothing here uses them, so this
// spares the process a message for every chunk.
const SESSION_OPTIONS = {
  encoding: "wav/pcm",
  bit_depth: 16,
  sample_rate: 16000,
  channels: 1,
  messages_config: {
    receive_partial_transcripts: true,
    receive_final_transcripts: true,
    receive_acknowledgments: false,
  },
};

/**
 * Turn a message of Gladia's into a transcript event; null when it is something else.
 * `audioStartedAt` and `receivedAt` are Unix milliseconds; Gladia counts seconds of the session's audio.
 */
export function parseTranscriptMessage(message, audioStartedAt, receivedAt) {
  const { type, data } = JSON.parse(message);
  if (type !== "transcript" || !data?.utterance) {
    return null;
  }
  const { utterance } = data;
  return {
    utteranceId: data.id,
    text: utterance.text.trim(),
    isFinal: data.is_final,
    speakerId: utterance.speaker_id,
    speakerName: utterance.speaker_name,
    startedAt: audioStartedAt + utterance.start * 1000,
    endedAt: data.is_final ? audioStartedAt + utterance.end * 1000 : undefined,
    receivedAt,
  };
}

export class GladiaBridge {
  #ws = null;
  #waiting = []; // PCM that came before the socket was open
  #audioStartedAt = 0;
  #stopped = false;

  constructor({ apiUrl, apiKey, sessionSlug, onTranscript }) {
    this.apiUrl = apiUrl;
    this.apiKey = apiKey;
    this.sessionSlug = sessionSlug;
    this.onTranscript = onTranscript;
  }

  /** Open the session; what was sent meanwhile follows as soon as the socket is open. */
  async start() {
    this.#audioStartedAt = Date.now(); // near enough: the stream begins now
    const url = await this.#createSession();
    if (this.#stopped) {
      return;
    }
    this.#ws = new WebSocket(url, { perMessageDeflate: false });
    this.#ws.on("open", () => this.#flush());
    this.#ws.on("message", (message) => this.#receive(message));
    this.#ws.on("error", (error) => console.error(`[GladiaBridge] ${this.sessionSlug}: ${error.message}`));
    this.#ws.on("close", (code) => console.log(`[GladiaBridge] WebSocket closed (${code}) ${this.sessionSlug}`));
  }

  async #createSession() {
    const response = await fetch(new URL("/v2/live", this.apiUrl), {
      method: "POST",
      headers: { "Content-Type": "application/json", "x-gladia-key": this.apiKey },
      body: JSON.stringify({ ...SESSION_OPTIONS, custom_metadata: { sessionSlug: this.sessionSlug } }),
    });
    if (!response.ok) {
      throw new Error(`Gladia answered ${response.status}: ${(await response.text()).slice(0, 200)}`);
    }
    return (await response.json()).url;
  }

  /** Send a chunk at once, whatever its size. */
  sendAudio(pcm) {
    if (this.#ws?.readyState === WebSocket.OPEN) {
      this.#ws.send(pcm);
    } else if (this.#ws === null || this.#ws.readyState === WebSocket.CONNECTING) {
      this.#waiting.push(pcm);
    }
  }

  #flush() {
    for (const pcm of this.#waiting) {
      this.#ws.send(pcm);
    }
    this.#waiting = [];
  }

  #receive(message) {
    const event = parseTranscriptMessage(message, this.#audioStartedAt, Date.now());
    if (event !== null) {
      this.onTranscript(event);
    }
  }

  /** Say that the recording is over and wait, within limits, until Gladia has closed. */
  async stop() {
    this.#stopped = true;
    const ws = this.#ws;
    if (ws === null || ws.readyState !== WebSocket.OPEN) {
      ws?.terminate();
      return;
    }
    const closed = new Promise((resolve) => ws.once("close", resolve));
    const timer = setTimeout(() => ws.terminate(), STOP_TIMEOUT_MS);
    ws.send(JSON.stringify({ type: "stop_recording" }));
    await closed;
    clearTimeout(timer);
  }
}
