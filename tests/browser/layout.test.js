// Layout at small widths: which columns of a table are hidden, and which are kept.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, fake, ready, server, site, until } from './harness.js';

const EVERY = 'last,change,amount,high,low,volume';
const WIDTHS = [1280, 1024, 900, 700, 560, 390, 320, 200];
/** The order in which columns are hidden, as in docs/widgets.md. */
const HIDDEN_ORDER = [['high', 'low'], ['volume'], ['spark'], ['amount']];
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

/** Returns the errors in the columns of every table. */
function tables([hiddenOrder, nameMin]) {
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
    // One figure is never hidden.
    const stays = ['last', 'change', 'amount', 'volume', 'high', 'low'].find((column) => all.has(column));
    const groups = hiddenOrder.map((group) => group.filter((column) => all.has(column) && column !== stays)).filter((group) => group.length);
    const states = groups.map((group) => group.filter((column) => shown.has(column)).length / group.length);
    // A group is only shown if all groups hidden later are shown.
    if (states.some((state, at) => (state > 0 && states.slice(at + 1).some((later) => later < 1)) || state % 1)) wrong.push(`${what}: ${[...shown]} of ${[...all]}`);
  }
  return wrong;
}

/** Loads a page at the first width, and calls `check` with it at each width. */
async function atEachWidth(url, widths, prepare, check) {
  const context = await chrome.newContext({ viewport: { width: widths[0], height: 900 }, locale: 'ko-KR' });
  const page = await context.newPage();
  await page.goto(url);
  await prepare(page);
  for (const width of widths) {
    await page.setViewportSize({ width, height: 900 });
    await page.waitForFunction((width) => innerWidth === width, width);
    await check(page, width);
  }
  await context.close();
}

/** Checks the tables and the width of a page, adds errors to `wrong`, and returns the columns that the first table shows at the last width. */
async function shownColumns(url, widths, wrong, prepare = async () => {}) {
  let shown;
  await atEachWidth(url, widths, prepare, async (page, width) => {
    const found = await page.evaluate(tables, [HIDDEN_ORDER, NAME_EM_MIN]);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) found.push(`the page is ${wide} px too wide`);
    wrong.push(...found.map((it) => `${url.replace(/^http:..[^/]*/, '')} at ${width}: ${it}`));
    shown = await page.locator('.sisepan thead').first().evaluate((head) => [...head.querySelectorAll('th')].filter((cell) => getComputedStyle(cell).display !== 'none').map((cell) => cell.dataset.col));
  });
  return shown;
}

/** Checks that a page is not wider than its window. */
function checkWidth(url, widths, wrong, prepare = async () => {}) {
  return atEachWidth(url, widths, prepare, async (page, width) => {
    const [is, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    if (is > room) wrong.push(`${url} at ${width}: ${is - room} px too wide`);
  });
}

const SETS = [EVERY, 'volume,high,low', 'high,low', 'amount,volume,last', 'last,change'];

test('FC-37: columns are hidden in order, and the name keeps 6em, on the start page and in a frame', async () => {
  const wrong = [];
  for (const columns of SETS) {
    await shownColumns(`${sisepan.url}/?lang=ko&columns=${columns}`, WIDTHS, wrong);
    await shownColumns(`${sisepan.url}/embed/board?lang=en&columns=${columns}`, WIDTHS, wrong);
  }
  for (const size of ['xs', 'xl']) await shownColumns(`${sisepan.url}/embed/board?lang=ja&size=${size}&columns=${EVERY}`, WIDTHS, wrong);
  await shownColumns(`${sisepan.url}/embed/movers?lang=ko`, WIDTHS, wrong);
  assert.deepEqual(wrong, []);
  // At a large width no column is hidden, and price and change never are.
  assert.deepEqual(await shownColumns(`${sisepan.url}/embed/board?lang=ko&columns=${EVERY}`, [1280], wrong), ['name', ...EVERY.split(',')]);
  assert.deepEqual(await shownColumns(`${sisepan.url}/?lang=ko`, [560], wrong), ['name', 'last', 'change', 'spark']);
  assert.deepEqual(await shownColumns(`${sisepan.url}/?lang=ko&columns=${EVERY}`, [320], wrong), ['name', 'last', 'change']);
});

test('FC-37: names are readable at 200 px in every text size, and no page is wider than its window', async () => {
  const wrong = [];
  const widths = [200, 260];
  await Promise.all(['ko', 'en', 'ja'].map(async (lang, at) => {
    const size = ['xs', 'm', 'xl'][at];
    await shownColumns(`${sisepan.url}/embed/board?lang=${lang}&size=xl`, widths, wrong);
    await shownColumns(`${sisepan.url}/embed/movers?lang=${lang}&size=${size}&density=compact`, widths, wrong);
    for (const path of ['/', '/widgets', '/nothing', '/market/BTC-KRW', '/market/SAND-KRW', '/market/NOPE']) await checkWidth(`${sisepan.url}${path}?lang=${lang}&ui=${lang}`, widths, wrong);
  }));
  assert.deepEqual(wrong, []);
});

test('FC-37: no element makes a page without margins wider', async () => {
  const wrong = [];
  for (const widget of ['board', 'tape', 'card', 'ticker', 'movers', 'chart']) {
    const one = await site(`<meta name="viewport" content="width=device-width"><style>body{margin:0}</style><script type="module" src="${sisepan.url}/sisepan.js"></script><sisepan-${widget} lang="ko" announce></sisepan-${widget}>`);
    const loaded = async (page) => {
      await page.locator('.sisepan[data-live="on"]').waitFor();
      await page.locator('.announce').waitFor({ state: 'attached' });
    };
    await checkWidth(one.url, [200, 320, 700, 1280], wrong, loaded);
    await one.stop();
  }
  assert.deepEqual(wrong, []);
});

test('FC-37: the same for an element, a fragment, and columns set by the operator', async () => {
  const own = await server(exchanges, `widgets.columns = ["${EVERY.split(',').join('", "')}"]`);
  const included = await (await fetch(`${sisepan.url}/fragment/board?lang=ko&columns=${EVERY}`)).text();
  const script = `<meta name="viewport" content="width=device-width"><script type="module" src="${sisepan.url}/sisepan.js"></script>`;
  const sites = await Promise.all([
    site(`${script}<sisepan-board lang="ko" columns="${EVERY}"></sisepan-board>`),
    site(`<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="${sisepan.url}/sisepan.css">${included}`),
  ]);
  const loaded = (page) => until('the table is loaded', async () => (await page.locator('.sisepan tbody tr').count()) > 0);
  const wrong = [];
  try {
    await ready(own);
    for (const { url } of sites) await shownColumns(url, WIDTHS, wrong, loaded);
    for (const path of ['/?lang=ko', '/embed/board?lang=ko']) await shownColumns(own.url + path, WIDTHS, wrong);
    assert.deepEqual(wrong, []);
  } finally {
    for (const one of sites) await one.stop();
    await own.stop();
  }
});
