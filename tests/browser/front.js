/**
 * A proxy in front of a server that observes and disturbs the traffic of a browser: it counts
 * connections, and rejects, delays or cuts WebSockets and event streams.
 */
import http from 'node:http';
import net from 'node:net';

/** Starts a proxy; its `rules` can be changed at any time. */
export async function startProxy(target) {
  const { hostname, port } = new URL(target.url ?? target);
  const rules = { websocket: true, events: true, mute: false, down: false, refused: false, held: (_) => false, status: 0 };
  /** The requests, with their time. */
  const log = [];
  const sockets = new Set();
  const streams = new Set();
  /** Paths of unfinished responses, by response. */
  const waiting = new Map();

  const proxy = http.createServer((request, response) => {
    const path = request.url.split('?')[0];
    log.push({ path, url: request.url, headers: request.headers, at: Date.now() });
    waiting.set(response, path);
    response.on('close', () => waiting.delete(response));
    if (rules.down) return request.socket.destroy();
    if (rules.held(request.url)) return;
    if (rules.status && path.includes('/fragment/')) {
      response.writeHead(rules.status, { 'content-type': 'text/html', 'access-control-allow-origin': '*' });
      return void response.end('<html><body><h1>Not now</h1></body></html>');
    }
    if (path.endsWith('/api/v1/events') && !rules.events) return void response.writeHead(403).end();
    if (rules.refused && /\/api\/v1\/(events|snapshot)$/.test(path)) {
      response.writeHead(404, { 'content-type': 'application/problem+json', 'access-control-allow-origin': '*' });
      return void response.end('{"title":"Unknown board","status":404,"detail":"unknown value \\"krw\\" for board"}');
    }
    const upstream = http.request({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.on('data', (data) => rules.held(request.url) || response.write(data)).on('end', () => response.end());
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  });
  proxy.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  proxy.on('upgrade', (request, socket, head) => {
    log.push({ path: 'websocket', url: request.url, headers: request.headers, at: Date.now() });
    socket.on('error', () => {});
    if (!rules.websocket || rules.down) return void socket.destroy();
    const upstream = net.connect(port, hostname, () => {
      const lines = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`);
      upstream.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      upstream.write(head);
      socket.pipe(upstream);
    });
    upstream.on('data', (data) => rules.mute || socket.write(data));
    streams.add(socket);
    const end = () => {
      streams.delete(socket);
      upstream.destroy();
      socket.destroy();
    };
    upstream.on('error', end).on('close', end);
    socket.on('close', end);
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    rules,
    log,
    /** Number of open WebSockets. */
    open: () => streams.size,
    count: (path) => log.filter((it) => it.path.endsWith(path)).length,
    /** Number of requests whose response is not finished. */
    waiting: (path) => [...waiting.values()].filter((it) => it === path).length,
    /** Cuts every connection. */
    drop: () => sockets.forEach((socket) => socket.destroy()),
    /** Cuts every WebSocket. */
    cut: () => streams.forEach((socket) => socket.destroy()),
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => proxy.close(resolve));
    },
  };
}
