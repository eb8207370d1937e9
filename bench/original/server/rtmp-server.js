// The one RTMP server of the process, and who wants to know of which stream.
import NodeMediaServer from "node-media-server";

/** The session's slug in "/live/{slug}". */
export function slugOf(streamPath) {
  return streamPath.slice(streamPath.lastIndexOf("/") + 1);
}

export class RtmpServer {
  #handlers = new Map();
  #publishing = new Set();

  /** Node-Media-Server keeps a small store of its own in `storePath`. */
  constructor({ port, storePath }) {
    this.server = new NodeMediaServer({ rtmp: { port }, store: { path: storePath } });
    this.server.on("prePublish", (session) => this.#started(slugOf(session.streamPath)));
    this.server.on("donePublish", (session) => this.#ended(slugOf(session.streamPath)));
  }

  run() {
    return this.server.run();
  }

  stop() {
    return this.server.stop();
  }

  /** `handler` has onStreamStart and onStreamEnd. */
  registerStreamHandler(slug, handler) {
    this.#handlers.set(slug, handler);
  }

  unregisterStreamHandler(slug) {
    this.#handlers.delete(slug);
  }

  isPublishing(slug) {
    return this.#publishing.has(slug);
  }

  #started(slug) {
    console.log(`[RTMPServer] RTMP stream connecting ${slug}`);
    this.#publishing.add(slug);
    this.#handlers.get(slug)?.onStreamStart();
  }

  #ended(slug) {
    console.log(`[RTMPServer] RTMP stream ended ${slug}`);
    this.#publishing.delete(slug);
    this.#handlers.get(slug)?.onStreamEnd();
  }
}
