// Who speaks now in each session, as the clients report it about every 500 ms.
export class ActiveSpeakerTracker {
  #bySession = new Map();

  update({ sessionSlug, identity, name, timestamp }) {
    this.#bySession.set(sessionSlug, { sessionSlug, identity, name, timestamp });
  }

  getActiveSpeaker(sessionSlug) {
    return this.#bySession.get(sessionSlug);
  }

  forget(sessionSlug) {
    this.#bySession.delete(sessionSlug);
  }
}
