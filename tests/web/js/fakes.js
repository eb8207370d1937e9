/** Time that stands still, and a socket whose other end is the test. */

export class FakeClock {
  #now = 0;
  #timers = new Map();
  #next = 1;

  now() {
    return this.#now;
  }

  setTimeout(callback, ms) {
    this.#timers.set(this.#next, { at: this.#now + ms, callback });
    return this.#next++;
  }

  clearTimeout(timer) {
    this.#timers.delete(timer);
  }

  /** Let so much time pass, ringing what is due on the way. */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await flushed();
      const [first] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at);
      if (!first || first[1].at > end) break;
      this.#timers.delete(first[0]);
      this.#now = first[1].at;
      first[1].callback();
    }
    this.#now = end;
  }
}

/** What awaits promises only has run when this is over. */
export async function flushed() {
  for (let turn = 0; turn < 10; turn++) await null;
}

export function fakeSockets() {
  const opened = [];
  class FakeSocket {
    static OPEN = 1;
    readyState = 0;
    sent = [];
    closed = false;

    constructor(url) {
      this.url = url;
      opened.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close() {
      this.closed = true;
      this.readyState = 3;
    }

    accept() {
      this.readyState = 1;
      this.onopen();
    }

    say(message) {
      this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) });
    }

    end(code, reason = "") {
      this.readyState = 3;
      this.onclose({ code, reason });
    }
  }
  return { opened, FakeSocket };
}
