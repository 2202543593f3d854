/**
 * A proxy in front of a server, to see and to spoil what a browser does: it counts
 * connections, refuses WebSockets or events, holds them up, cuts them.
 */
import http from 'node:http';
import net from 'node:net';

/** Starts a front; change `rules` at any time. */
export async function front(target) {
  const { hostname, port } = new URL(target.url ?? target);
  const rules = { websocket: true, events: true, mute: false, down: false, refused: false, held: (_) => false, status: 0 };
  /** Paths that were asked for, with the time. */
  const log = [];
  const sockets = new Set();
  const streams = new Set();
  /** Paths whose answer has not ended, by the answer. */
  const waiting = new Map();

  const proxy = http.createServer((ask, answer) => {
    const path = ask.url.split('?')[0];
    log.push({ path, url: ask.url, headers: ask.headers, at: Date.now() });
    waiting.set(answer, path);
    answer.on('close', () => waiting.delete(answer));
    if (rules.down) return ask.socket.destroy();
    if (rules.held(ask.url)) return;
    if (rules.status && path.includes('/fragment/')) {
      answer.writeHead(rules.status, { 'content-type': 'text/html', 'access-control-allow-origin': '*' });
      return void answer.end('<html><body><h1>Not now</h1></body></html>');
    }
    if (path.endsWith('/api/v1/events') && !rules.events) return void answer.writeHead(403).end();
    if (rules.refused && /\/api\/v1\/(events|snapshot)$/.test(path)) {
      answer.writeHead(404, { 'content-type': 'application/problem+json', 'access-control-allow-origin': '*' });
      return void answer.end('{"title":"Unknown board","status":404,"detail":"board has no \\"krw\\""}');
    }
    const on = http.request({ hostname, port, path: ask.url, method: ask.method, headers: ask.headers }, (from) => {
      answer.writeHead(from.statusCode, from.headers);
      from.on('data', (data) => rules.held(ask.url) || answer.write(data)).on('end', () => answer.end());
    });
    on.on('error', () => answer.destroy());
    answer.on('close', () => on.destroy());
    ask.pipe(on);
  });
  proxy.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  proxy.on('upgrade', (ask, socket, head) => {
    log.push({ path: 'websocket', url: ask.url, headers: ask.headers, at: Date.now() });
    socket.on('error', () => {});
    if (!rules.websocket || rules.down) return void socket.destroy();
    const on = net.connect(port, hostname, () => {
      const lines = Object.entries(ask.headers).map(([name, value]) => `${name}: ${value}`);
      on.write(`${ask.method} ${ask.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      on.write(head);
      socket.pipe(on);
    });
    on.on('data', (data) => rules.mute || socket.write(data));
    streams.add(socket);
    const end = () => {
      streams.delete(socket);
      on.destroy();
      socket.destroy();
    };
    on.on('error', end).on('close', end);
    socket.on('close', end);
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    rules,
    log,
    /** WebSockets that are open now. */
    open: () => streams.size,
    count: (path) => log.filter((it) => it.path.endsWith(path)).length,
    /** Requests that still wait for an answer, or for its end. */
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
