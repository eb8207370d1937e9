// Latency metrics in memory, under the original's names; a summary line every 100 records.
const LOG_EVERY_RECORDS = 100;

export class RealtimeMetrics {
  #series = new Map();
  #records = 0;

  constructor(log = console.log) {
    this.log = log;
  }

  /** Count one latency under `name`, in milliseconds. */
  record(name, ms) {
    const series = this.#series.get(name);
    if (series === undefined) {
      this.#series.set(name, { count: 1, totalMs: ms, minMs: ms, maxMs: ms });
    } else {
      series.count += 1;
      series.totalMs += ms;
      series.minMs = Math.min(series.minMs, ms);
      series.maxMs = Math.max(series.maxMs, ms);
    }
    this.#records += 1;
    if (this.#records % LOG_EVERY_RECORDS === 0) {
      this.log(`[Metrics] ${JSON.stringify(this.snapshot())}`);
    }
  }

  /** What `GET /metrics` answers: count, average, least and most of each name. */
  snapshot() {
    const all = {};
    for (const [name, { count, totalMs, minMs, maxMs }] of this.#series) {
      all[name] = { count, avgMs: totalMs / count, minMs, maxMs };
    }
    return all;
  }
}
