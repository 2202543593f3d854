// The appearance of widgets, compared with the screenshots in shots/. UPDATE_SHOTS=1 replaces them.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pixelmatch from 'pixelmatch';
import { PNG } from 'pngjs';
import { SHOTS, browser, fake, ready, screenshot, server, until } from './harness.js';

const REFERENCE_FOLDER = fileURLToPath(new URL('shots', import.meta.url));
/** Share of the pixels that may differ. Font rendering varies slightly between versions. */
const TOLERANCE = 0.001;
/** Difference from which a pixel counts, from 0 to 1. */
const PIXEL_DIFFERENCE_MIN = 0.05;

const WIDGETS = { board: 320, tape: 640, card: 320, ticker: 320, movers: 640, chart: 480 };
let exchanges, sisepan, chrome;

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await browser();
  await ready(sisepan);
  await mkdir(REFERENCE_FOLDER, { recursive: true });
});

after(async () => {
  await chrome?.close();
  await sisepan?.stop();
  await exchanges?.stop();
});

/** Writes fixed prices and times into a page, so that only its appearance is compared. Without `states` each row keeps its own state. */
function freeze(states) {
  const prices = ['142,187,000', '4,955,000', '914,000', '3,100', '213,300', '591', '447', '336', '29,640', '20,680', '184'];
  const changes = ['+2.08', '-1.61', '+0.76', '0.00', '-3.44', '+12.34', '-0.34', '+2.44', '-1.69', '+2.48', '-3.16'];
  const marks = { stale: '3분 전', halted: '거래정지', unknown: '정보 없음', delayed: '지연' };
  const set = (root, name, text) => root.querySelectorAll(`[data-cell="${name}"]`).forEach((cell) => (cell.textContent = text));
  // The movers change from minute to minute.
  document.querySelectorAll('[data-widget="movers"] tbody').forEach((body) => {
    const rows = [...body.querySelectorAll('tr[data-market]')];
    while (rows.length > 3) rows.pop().remove();
    rows.forEach((row, at) => set(row, 'name', ['가나다', '라마바사', '아자'][at]));
    for (let at = rows.length; at < 3 && rows[0]; at++) body.append(rows[0].cloneNode(true));
    // The width of the prices above, not of those that happen to be movers.
    body.closest('table').dataset.wide = '9';
  });
  document.querySelectorAll('[data-market]').forEach((row, at) => {
    const state = states ? states[at % states.length] : row.dataset.state;
    const unknown = state === 'unknown';
    row.dataset.state = state;
    row.dataset.direction = unknown ? 'even' : { '+': 'rise', '-': 'fall' }[changes[at % 11][0]] ?? 'even';
    set(row, 'last', unknown ? '–' : prices[at % 11]);
    set(row, 'change', unknown ? '–' : changes[at % 11] + '%');
    set(row, 'mark', marks[state] ?? '');
    set(row, 'high', '143,000,000');
    set(row, 'low', '139,000,000');
  });
  document.querySelectorAll('time').forEach((time) => (time.textContent = '12:00:00'));
  document.querySelectorAll('[data-venue]').forEach((venue) => (venue.textContent = venue.dataset.venue));
  document.querySelectorAll('.plot > .tick, .plot > .axis, .plot > .extreme, .plot .base, .spark .base').forEach((part) => part.remove());
  document.querySelectorAll('[data-legend]').forEach((part) => (part.textContent = '기준'));
  document.querySelectorAll('svg').forEach((plot) => {
    const own = plot.viewBox.baseVal;
    if (!own?.width) return;
    const points = [0.6, 0.4, 0.5, 0.2, 0.3, 0.1, 0.4, 0.7, 0.6, 0.9, 0.8].map((y, at) => `${(own.width * at) / 10} ${own.height * y}`);
    plot.querySelectorAll('path').forEach((line) => line.setAttribute('d', line.matches('.last') ? '' : `M${points.join('L')}` + (line.matches('.area') ? `L${own.width} ${own.height}L0 ${own.height}Z` : '')));
  });
  document.querySelectorAll('svg.plot > circle').forEach((dot) => dot.remove());
  document.querySelectorAll('.plot, .spark').forEach((plot) => (plot.dataset.direction = 'rise'));
}

async function compareScreenshot(name, url, { width, colorScheme = 'light', states = ['live'], live = 'on' }) {
  const context = await chrome.newContext({ viewport: { width, height: 200 }, colorScheme, locale: 'ko-KR' });
  const page = await context.newPage();
  await page.route(/sisepan.*\.js$/, (route) => route.abort());
  await page.goto(url);
  await page.evaluate(freeze, states);
  if (live) await page.evaluate((live) => document.querySelectorAll('.sisepan').forEach((root) => (root.dataset.live = live)), live);
  const taken = await screenshot(page, { fullPage: true });
  await context.close();
  await writeFile(path.join(SHOTS, name + '.png'), taken);
  const reference = path.join(REFERENCE_FOLDER, name + '.png');
  if (process.env.UPDATE_SHOTS) return void (await writeFile(reference, taken));
  const [is, was] = [PNG.sync.read(taken), PNG.sync.read(await readFile(reference))];
  assert.deepEqual([is.width, is.height], [was.width, was.height], `${name} has a different size`);
  const differ = pixelmatch(is.data, was.data, null, is.width, is.height, { threshold: PIXEL_DIFFERENCE_MIN });
  assert.ok(differ <= is.width * is.height * TOLERANCE, `${name}: ${differ} pixels differ; see target/screenshots/${name}.png`);
}

for (const [widget, width] of Object.entries(WIDGETS)) {
  for (const colorScheme of ['light', 'dark']) {
    test(`${widget} in ${colorScheme}`, () => compareScreenshot(`${widget}-${colorScheme}`, `${sisepan.url}/embed/${widget}?lang=ko`, { width, colorScheme }));
  }
}

for (const lang of ['en', 'ja']) {
  test(`board in ${lang}`, () => compareScreenshot(`board-${lang}`, `${sisepan.url}/embed/board?lang=${lang}`, { width: 320 }));
}

test('every state of a row', () => compareScreenshot('board-states', `${sisepan.url}/embed/board?lang=ko`, { width: 320, states: ['live', 'delayed', 'stale', 'halted', 'unknown'] }));
test('a board without a connection', () => compareScreenshot('board-off', `${sisepan.url}/embed/board?lang=ko`, { width: 320, live: 'off' }));
test('a board of 200 px', () => compareScreenshot('board-narrow', `${sisepan.url}/embed/board?lang=ko`, { width: 200 }));
test('a card with a stale price', () => compareScreenshot('card-stale', `${sisepan.url}/embed/card?lang=ko`, { width: 320, states: ['stale'] }));

test('rows that are halted, and rows that are stale', async () => {
  const venues = ['bithumb', 'upbit'];
  const states = async () => {
    const { rows } = await (await fetch(`${sisepan.url}/api/v1/snapshot?board=krw`)).json();
    return rows.map(({ market, state }) => `${market} ${state}`);
  };
  const are = (what, check) => until(what, async () => (await states()).every(check) || states());
  const halted = ['ETH-KRW', 'SOL-KRW'];
  for (const symbol of halted) await exchanges.fault({ fault: 'halt', symbol });
  await are('the two are halted', (row) => row.endsWith(' halted') === halted.includes(row.split(' ')[0]));
  for (const venue of venues) {
    await exchanges.fault({ venue, fault: 'mute' });
    await exchanges.fault({ venue, fault: 'status', status: 503 });
  }
  await are('the others are stale', (row) => row.endsWith(halted.includes(row.split(' ')[0]) ? ' halted' : ' stale'));
  await compareScreenshot('board-held', `${sisepan.url}/embed/board?lang=ko`, { width: 320, states: null, live: null });
  await compareScreenshot('tape-held', `${sisepan.url}/embed/tape?lang=ko`, { width: 640, states: null, live: null });
  await exchanges.clearFaults();
});
