// The one public port: the HTTP routes, and the WebSocket the clients subscribe on.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const WEBSOCKET_PATH = "/api/realtime/transcribe";

async function readJson(request) {
  const pieces = [];
  for await (const piece of request) {
    pieces.push(piece);
  }
  return JSON.parse(Buffer.concat(pieces).toString());
}

function answer(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
}

/** `routes` maps "METHOD /path" to a function from the body, if any, to [status, body]. */
async function serve(routes, request, response) {
  const route = routes[`${request.method} ${request.url.split("?")[0]}`];
  if (route === undefined) {
    answer(response, 404, { error: "not found" });
    return;
  }
  let body;
  try {
    body = request.method === "POST" ? await readJson(request) : undefined;
  } catch (error) {
    answer(response, 400, { error: error.message });
    return;
  }
  answer(response, ...await route(body));
}

/** Build the server; each client that names its session in the query goes to `clients`. */
export function createHttpServer(routes, clients) {
  const server = createServer((request, response) => {
    serve(routes, request, response).catch((error) => {
      console.error(`[WS-SERVER] ${request.url}: ${error.message}`);
      response.destroy();
    });
  });
  const websockets = new WebSocketServer({ server, path: WEBSOCKET_PATH });
  websockets.on("connection", (ws, request) => {
    const slug = new URL(request.url, "http://localhost").searchParams.get("sessionSlug");
    if (slug) {
      clients.add(slug, ws);
    } else {
      ws.close(4400, "sessionSlug is missing");
    }
  });
  return server;
}
