// Transfer sizes, and requests to other hosts.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
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

/** Returns the transfer size with brotli, which browsers use over TLS. */
const bytes = (path) =>
  new Promise((resolve, reject) => {
    http.get(sisepan.url + path, { headers: { 'accept-encoding': 'br' } }, (answer) => {
      let sum = 0;
      answer.on('data', (chunk) => (sum += chunk.length)).on('end', () => resolve(sum));
    }).on('error', reject);
  });

test('the script is at most 5,000 bytes, the default board complete at most 15,000', async () => {
  const script = await bytes('/sisepan.js');
  assert.ok(script <= 5_000, `${script}`);
  let sum = 0;
  for (const path of ['/embed/board?lang=ko', '/sisepan.css', '/sisepan.js', '/sisepan-frame.js', '/icon.svg']) sum += await bytes(path);
  assert.ok(sum <= 15_000, `${sum}`);
});

test('the sizes in docs/embed.md match those that are served', async () => {
  const page = await readFile(new URL('../../docs/embed.md', import.meta.url), 'utf8');
  const modules = ['tape', 'chart', 'refresh', 'frame', 'announce', 'detour', 'venues'];
  const sizes = await Promise.all(modules.map((name) => bytes(`/sisepan-${name}.js`)));
  const sum = async (paths) => (await Promise.all(paths.map(bytes))).reduce((all, one) => all + one, 0);
  const measured = {
    '`sisepan.js`': [await bytes('/sisepan.js')],
    [`${modules.join(', ')}: each only where it is used`]: [Math.min(...sizes), Math.max(...sizes)],
    '`sisepan.css`': [await bytes('/sisepan.css')],
    'default board complete: page, style, script': [await sum(['/embed/board?lang=ko', '/sisepan.css', '/sisepan.js'])],
  };
  for (const [what, figures] of Object.entries(measured)) {
    const row = page.split('\n').find((line) => line.startsWith(`| ${what} |`));
    const documented = [...(row?.split('|')[2] ?? '').matchAll(/[\d,]+/g)].map(([figure]) => +figure.replaceAll(',', ''));
    // The size of the page varies with its prices.
    const near = figures.length === documented.length && figures.every((figure, at) => Math.abs(figure - documented[at]) <= figure * 0.03);
    assert.ok(near, `${what}: ${figures}, docs/embed.md says ${documented}`);
  }
});

test('no page sends requests to another host', async () => {
  for (const path of ['/', '/embed/board', '/embed/chart', '/market/BTC-KRW']) {
    const context = await chrome.newContext();
    const page = await context.newPage();
    const requested = [];
    page.on('request', (request) => requested.push(request.url()));
    await page.goto(sisepan.url + path);
    await page.waitForTimeout(1500);
    const foreign = requested.filter((url) => new URL(url).host !== new URL(sisepan.url).host);
    assert.deepEqual(foreign, [], path);
    await context.close();
  }
});
