// The WebSocket clients of each session, and the direct broadcast to them.
import { WebSocket } from "ws";

export class ClientConnections {
  #bySession = new Map();

  add(sessionSlug, ws) {
    let clients = this.#bySession.get(sessionSlug);
    if (clients === undefined) {
      clients = new Set();
      this.#bySession.set(sessionSlug, clients);
    }
    clients.add(ws);
    ws.on("close", () => this.#remove(sessionSlug, ws));
    ws.on("error", (error) => console.error(`[WS-SERVER] client of ${sessionSlug}: ${error.message}`));
  }

  #remove(sessionSlug, ws) {
    const clients = this.#bySession.get(sessionSlug);
    clients?.delete(ws);
    if (clients?.size === 0) {
      this.#bySession.delete(sessionSlug);
    }
  }

  /** Send to every open client of the session; return to how many. The JSON is made once. */
  broadcastToSessionClients(sessionSlug, payload) {
    const clients = this.#bySession.get(sessionSlug);
    if (clients === undefined) {
      return 0;
    }
    const message = JSON.stringify(payload);
    let sent = 0;
    for (const ws of clients) {
      if (ws.readyState === WebSocket.OPEN) {
        ws.send(message);
        sent += 1;
      }
    }
    return sent;
  }
}
