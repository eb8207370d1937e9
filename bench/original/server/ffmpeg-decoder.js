// One FFmpeg that pulls a session's stream over RTMP and writes PCM to its output.
import { spawn } from "node:child_process";

const MAX_RETRIES = 3;
const RETRY_DELAY_MS = 2000;
const STDERR_LINES = 10;

const LOW_LATENCY = [
  "-fflags", "nobuffer",
  "-flags", "low_delay",
  "-probesize", "4096",
  "-analyzeduration", "100000",
];
const PCM16 = ["-f", "s16le", "-acodec", "pcm_s16le", "-ar", "16000", "-ac", "1"];

/**
 * The arguments of the original's command, in its order. That order puts the low-latency flags behind the input,
 * where FFmpeg takes them for the output and probes with its defaults; `flagsFirst` puts them where they take effect.
 */
export function ffmpegArguments(url, flagsFirst) {
  return flagsFirst
    ? [...LOW_LATENCY, "-i", url, ...PCM16, "-"]
    : ["-i", url, ...PCM16, ...LOW_LATENCY, "-"];
}

/** The last lines of a stderr, in which FFmpeg ends its progress lines with a carriage return. */
export function lastLines(text, count = STDERR_LINES) {
  return text.split(/[\r\n]+/).filter(Boolean).slice(-count);
}

export class FfmpegDecoder {
  #child = null;
  #retries = 0;
  #retryTimer = null;
  #stopped = false;

  constructor({ command, args, label, onPcm }) {
    this.command = command;
    this.args = args;
    this.label = label;
    this.onPcm = onPcm;
  }

  start() {
    this.#retryTimer = null;
    const child = spawn(this.command, this.args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let stderr = "";
    child.stdout.on("data", this.onPcm);
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text) => {
      stderr = (stderr + text).slice(-4096);
    });
    child.on("error", (error) => this.#failed(error));
    child.on("exit", (exitCode) => this.#ended(exitCode, stderr));
  }

  #failed(error) {
    console.error(`[FFmpeg] ${this.label}: ${error.message}`);
    if (this.#child?.pid === undefined) {
      this.#child = null; // it could not be started, so no exit follows
    }
  }

  #ended(exitCode, stderr) {
    this.#child = null;
    if (this.#stopped) {
      return;
    }
    console.error(`[FFmpeg] ${this.label} exited with ${exitCode}`, lastLines(stderr));
    if (exitCode === 1 && this.#retries < MAX_RETRIES) {
      this.#retries += 1;
      this.#retryTimer = setTimeout(() => this.start(), RETRY_DELAY_MS);
    }
  }

  /** Whether it decodes, or is about to try again. */
  get running() {
    return this.#child !== null || this.#retryTimer !== null;
  }

  /** End the child; done when it is gone. */
  async stop() {
    this.#stopped = true;
    clearTimeout(this.#retryTimer);
    const child = this.#child;
    if (child !== null) {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL"); // nothing of what it still holds is wanted
      await gone;
    }
  }
}
