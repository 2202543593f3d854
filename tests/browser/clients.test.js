// Third-party clients of the WebSocket and of the server-sent events.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import WebSocket from 'ws';
import { TIMEOUT_MS, browser, fake, open, ready, server } from './harness.js';

const run = promisify(execFile);
const PYTHON = fileURLToPath(new URL('../../target/python/bin/python', import.meta.url));
let exchanges, sisepan, chrome;

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await browser();
  await ready(sisepan);
});

after(async () => {
  await chrome?.close();
  await sisepan?.stop();
  await exchanges?.stop();
});

const stream = (query = '') => `${sisepan.url.replace('http', 'ws')}/api/v1/stream${query}`;

test('ws of Node.js: two subscriptions, compression, resume', async () => {
  const socket = new WebSocket(stream(), 'sisepan.v1', { perMessageDeflate: true });
  const received = [];
  const waitFor = (what) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not received: ${what}`)), TIMEOUT_MS);
    const check = () => {
      const found = received.find(what);
      if (!found) return;
      clearTimeout(timer);
      socket.off('message', check);
      resolve(found);
    };
    socket.on('message', check);
    check();
  });
  socket.on('message', (data) => received.push(JSON.parse(String(data))));
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  assert.equal(socket.protocol, 'sisepan.v1');
  socket.send(JSON.stringify({ type: 'subscribe', id: 'a', board: 'krw', interval_ms: 0 }));
  socket.send(JSON.stringify({ type: 'subscribe', id: 'b', markets: ['BTC-KRW'], lang: 'ko' }));
  const a = await waitFor(({ type, id }) => type === 'snapshot' && id === 'a');
  const b = await waitFor(({ type, id }) => type === 'snapshot' && id === 'b');
  assert.equal(a.rows.length, 11);
  assert.equal(b.rows.length, 1);
  assert.notEqual(a.group, b.group);
  await waitFor(({ type, group }) => type === 'delta' && group === a.group);
  socket.send(JSON.stringify({ type: 'subscribe', id: 'a', board: 'krw', interval_ms: 0, resume: { epoch: a.epoch, sequence: a.sequence } }));
  assert.equal((await waitFor(({ type, id, recovered }) => type === 'delta' && id === 'a' && recovered)).previous, a.sequence);
  socket.send(JSON.stringify({ type: 'unsubscribe', id: 'b' }));
  await waitFor(({ type, id }) => type === 'unsubscribed' && id === 'b');
  socket.close();
  await new Promise((resolve) => socket.on('close', resolve));
});

test('FC-35: Chromium: WebSocket and EventSource', async () => {
  const { page, close } = await open(chrome, `${sisepan.url}/?lang=ko`);
  const types = await page.evaluate(async () => {
    // Other messages, such as heartbeats and status messages, may come first.
    const waitFor = (/** @type {WebSocket | EventSource} */ source, /** @type {(received: string[][]) => boolean} */ isDone) =>
      new Promise((resolve) => {
        const types = [];
        source.onmessage = (/** @type {MessageEvent} */ event) => {
          types.push([JSON.parse(event.data).type, event.lastEventId]);
          if (!isDone(types)) return;
          source.close();
          resolve(types);
        };
      });
    const at = '?board=krw&interval_ms=0';
    return [
      await waitFor(new WebSocket(`/api/v1/stream${at}`), (received) => received.length > 2),
      await waitFor(new EventSource(`/api/v1/events${at}`), (received) => received.length > 2 && received.some(([, id]) => id)),
    ];
  });
  for (const [welcome, snapshot] of types) assert.deepEqual([welcome[0], snapshot[0]], ['welcome', 'snapshot']);
  assert.match(types[1].find(([, id]) => id)[1], /^.+:\d+$/, 'events have an id');
  await close();
});

test('websockets of Python', async () => {
  const code = `
import asyncio, json, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as ws:
        types = [json.loads(await asyncio.wait_for(ws.recv(), 60))["type"] for _ in range(3)]
        print(" ".join(types))
asyncio.run(main())`;
  const { stdout } = await run(PYTHON, ['-c', code, stream('?board=krw&interval_ms=0')]).catch((error) => {
    throw new Error(`scripts/python-env makes the Python for this: ${error.message}`);
  });
  assert.match(stdout, /^welcome snapshot (delta|status)/);
});

test('curl reads events as they are sent', async () => {
  // Changes a price meanwhile.
  const walk = setInterval(() => exchanges.price('bithumb', 'BTC-KRW', String(140_000_000 + 1000 * Math.floor(Math.random() * 5000))), 300);
  const curl = spawn('curl', ['-sN', '--max-time', '60', `${sisepan.url}/api/v1/events?board=krw&interval_ms=0`]);
  let stdout = '';
  await new Promise((resolve) => {
    curl.stdout.on('data', (chunk) => {
      stdout += chunk;
      if (/^data: .*"type":"delta".*\n/m.test(stdout)) curl.kill();
    });
    curl.on('close', resolve);
  });
  clearInterval(walk);
  assert.match(stdout, /^retry: \d+/);
  assert.match(stdout, /^id: .+:\d+$/m);
  const types = [...stdout.matchAll(/^data: (.+)\n/gm)].map((match) => JSON.parse(match[1]).type);
  assert.deepEqual(types.slice(0, 2), ['welcome', 'snapshot']);
  assert.ok(types.includes('delta'), path.join(...types));
});
