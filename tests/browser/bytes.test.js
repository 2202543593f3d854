// What a reader loads.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { browser, fake, open, ready, server } from './harness.js';

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

/** Bytes on the wire, as a browser gets them over TLS. */
const bytes = (path) =>
  new Promise((resolve, reject) => {
    http.get(sisepan.url + path, { headers: { 'accept-encoding': 'br' } }, (answer) => {
      let sum = 0;
      answer.on('data', (chunk) => (sum += chunk.length)).on('end', () => resolve(sum));
    }).on('error', reject);
  });

test('the script is at most 5,000 bytes, the reference board complete at most 15,000', async () => {
  const script = await bytes('/sisepan.js');
  assert.ok(script <= 5_000, `${script}`);
  let sum = 0;
  for (const path of ['/embed/board?lang=ko', '/sisepan.css', '/sisepan.js', '/sisepan-frame.js', '/icon.svg']) sum += await bytes(path);
  assert.ok(sum <= 15_000, `${sum}`);
});

test('no page asks another host, and none asks for more than it needs', async () => {
  for (const path of ['/', '/embed/board', '/embed/chart', '/market/BTC-KRW']) {
    const context = await chrome.newContext();
    const page = await context.newPage();
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(sisepan.url + path);
    await page.waitForTimeout(1500);
    const strangers = asked.filter((url) => new URL(url).host !== new URL(sisepan.url).host);
    assert.deepEqual(strangers, [], path);
    await context.close();
  }
});
