// Final transcripts, gathered into batches for the database: 50 of them, or 2 seconds, whichever is first.
const MAX_BATCH = 50;
const MAX_WAIT_MS = 2000;

export class TranscriptBatchQueue {
  #rows = [];
  #timer = null;

  /** `write` is given each batch. The service passes one that only counts: see README.md. */
  constructor(write) {
    this.write = write;
  }

  add(row) {
    this.#rows.push(row);
    if (this.#rows.length >= MAX_BATCH) {
      this.flush();
    } else {
      this.#timer ??= setTimeout(() => this.flush(), MAX_WAIT_MS);
    }
  }

  flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#rows.length > 0) {
      const batch = this.#rows;
      this.#rows = [];
      this.write(batch);
    }
  }
}
