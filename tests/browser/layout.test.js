// Room: what a table gives up where there is little of it, and what it keeps.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, fake, ready, server, site, until } from './harness.js';

const EVERY = 'last,change,amount,high,low,volume';
const WIDTHS = [1280, 1024, 900, 700, 560, 390, 320, 200];
/** As docs/widgets.md says it: the first gives way first. */
const GIVES_WAY = [['high', 'low'], ['volume'], ['spark'], ['amount']];
const NAME_EM_MIN = 6;
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

/** Says of each table what is wrong with its columns. */
function tables([givesWay, nameMin]) {
  const wrong = [];
  const roots = [...document.querySelectorAll('*')].flatMap((element) => [element, ...(element.shadowRoot?.querySelectorAll('*') ?? [])]);
  for (const table of roots.filter((element) => element.matches('.sisepan table:not(.bases)'))) {
    const em = parseFloat(getComputedStyle(table).fontSize);
    const what = table.closest('.sisepan').dataset.widget;
    const box = table.closest('.sisepan').getBoundingClientRect();
    const is = table.getBoundingClientRect();
    if (is.right > box.right + 0.5 || is.left < box.left - 0.5) wrong.push(`${what}: ${Math.round(is.width)} px in ${Math.round(box.width)}`);
    const cells = [...table.querySelectorAll('tbody tr:first-child > *')].filter((cell) => cell.getClientRects().length);
    const name = cells.find((cell) => cell.matches('th'));
    if (name && name.getBoundingClientRect().width < nameMin * em - 0.5) wrong.push(`${what}: the name has ${(name.getBoundingClientRect().width / em).toFixed(1)}em of ${Math.round(box.width / em)}em`);
    for (const cell of table.querySelectorAll('tbody td[data-col]')) {
      if (!cell.getClientRects().length) continue;
      const range = document.createRange();
      range.selectNodeContents(cell.firstElementChild ?? cell);
      if (range.getBoundingClientRect().width > cell.getBoundingClientRect().width + 0.5) wrong.push(`${what}: ${cell.dataset.col} ${cell.textContent} is wider than its column`);
    }
    const all = new Set([...table.querySelectorAll('thead th')].map((head) => head.dataset.col));
    const shown = new Set(cells.map((cell) => cell.dataset.col ?? 'name'));
    // One figure always stays.
    const stays = ['last', 'change', 'amount', 'volume', 'high', 'low'].find((column) => all.has(column));
    const groups = givesWay.map((group) => group.filter((column) => all.has(column) && column !== stays)).filter((group) => group.length);
    const states = groups.map((group) => group.filter((column) => shown.has(column)).length / group.length);
    // None is there before all that stay longer are.
    if (states.some((state, at) => (state > 0 && states.slice(at + 1).some((later) => later < 1)) || state % 1)) wrong.push(`${what}: ${[...shown]} of ${[...all]}`);
  }
  return wrong;
}

async function look(url, width, wrong, prepare = async () => {}) {
  const context = await chrome.newContext({ viewport: { width, height: 900 }, locale: 'ko-KR' });
  const page = await context.newPage();
  await page.goto(url);
  await prepare(page);
  const found = await page.evaluate(tables, [GIVES_WAY, NAME_EM_MIN]);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) found.push(`the page is ${wide} px too wide`);
  wrong.push(...found.map((it) => `${url.replace(/^http:..[^/]*/, '')} at ${width}: ${it}`));
  const shown = await page.locator('.sisepan thead').first().evaluate((head) => [...head.querySelectorAll('th')].filter((cell) => getComputedStyle(cell).display !== 'none').map((cell) => cell.dataset.col));
  await context.close();
  return shown;
}

/** Says whether a page is wider than its window. */
async function wide(url, width, wrong, prepare = async () => {}) {
  const context = await chrome.newContext({ viewport: { width, height: 900 }, locale: 'ko-KR' });
  const page = await context.newPage();
  await page.goto(url);
  await prepare(page);
  const [is, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  if (is > room) wrong.push(`${url} at ${width}: ${is - room} px too wide`);
  await context.close();
}

const SETS = [EVERY, 'volume,high,low', 'high,low', 'amount,volume,last', 'last,change'];

test('FC-37: columns give way in order, and the name keeps 6em, on the start page and in a frame', async () => {
  const wrong = [];
  for (const width of WIDTHS) {
    for (const columns of SETS) {
      await look(`${sisepan.url}/?lang=ko&columns=${columns}`, width, wrong);
      await look(`${sisepan.url}/embed/board?lang=en&columns=${columns}`, width, wrong);
    }
    for (const size of ['xs', 'xl']) await look(`${sisepan.url}/embed/board?lang=ja&size=${size}&columns=${EVERY}`, width, wrong);
    await look(`${sisepan.url}/embed/movers?lang=ko`, width, wrong);
  }
  assert.deepEqual(wrong, []);
  // Where there is room nothing gives way, and price and change never do.
  assert.deepEqual(await look(`${sisepan.url}/embed/board?lang=ko&columns=${EVERY}`, 1280, wrong), ['name', ...EVERY.split(',')]);
  assert.deepEqual(await look(`${sisepan.url}/?lang=ko`, 560, wrong), ['name', 'last', 'change', 'spark']);
  assert.deepEqual(await look(`${sisepan.url}/?lang=ko&columns=${EVERY}`, 320, wrong), ['name', 'last', 'change']);
});

test('FC-37: names can be read at 200 px in every size, and no page of ours is wider than its window', async () => {
  const wrong = [];
  for (const width of [200, 260]) {
    await Promise.all(['ko', 'en', 'ja'].map(async (lang, at) => {
      const size = ['xs', 'm', 'xl'][at];
      await look(`${sisepan.url}/embed/board?lang=${lang}&size=xl`, width, wrong);
      await look(`${sisepan.url}/embed/movers?lang=${lang}&size=${size}&density=compact`, width, wrong);
      for (const path of ['/', '/widgets', '/nothing', '/market/BTC-KRW', '/market/SAND-KRW', '/market/NOPE']) await wide(`${sisepan.url}${path}?lang=${lang}&ui=${lang}`, width, wrong);
    }));
  }
  assert.deepEqual(wrong, []);
});

test('FC-37: no element makes a page without margins wider', async () => {
  const wrong = [];
  for (const widget of ['board', 'tape', 'card', 'ticker', 'movers', 'chart']) {
    const one = await site(`<meta name="viewport" content="width=device-width"><style>body{margin:0}</style><script type="module" src="${sisepan.url}/sisepan.js"></script><sisepan-${widget} lang="ko" announce></sisepan-${widget}>`);
    const there = async (page) => {
      await page.locator('.sisepan[data-live="on"]').waitFor();
      await page.locator('.announce').waitFor({ state: 'attached' });
    };
    for (const width of [200, 320, 700, 1280]) await wide(one.url, width, wrong, there);
    await one.stop();
  }
  assert.deepEqual(wrong, []);
});

test('FC-37: the same for an element, an include, and the columns that the operator has set', async () => {
  const own = await server(exchanges, `widgets.columns = ["${EVERY.split(',').join('", "')}"]`);
  const included = await (await fetch(`${sisepan.url}/fragment/board?lang=ko&columns=${EVERY}`)).text();
  const script = `<meta name="viewport" content="width=device-width"><script type="module" src="${sisepan.url}/sisepan.js"></script>`;
  const sites = await Promise.all([
    site(`${script}<sisepan-board lang="ko" columns="${EVERY}"></sisepan-board>`),
    site(`<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="${sisepan.url}/sisepan.css">${included}`),
  ]);
  const there = (page) => until('the table is there', async () => (await page.locator('.sisepan tbody tr').count()) > 0);
  const wrong = [];
  try {
    await ready(own);
    for (const width of WIDTHS) {
      for (const { url } of sites) await look(url, width, wrong, there);
      for (const path of ['/?lang=ko', '/embed/board?lang=ko']) await look(own.url + path, width, wrong);
    }
    assert.deepEqual(wrong, []);
  } finally {
    for (const one of sites) await one.stop();
    await own.stop();
  }
});
