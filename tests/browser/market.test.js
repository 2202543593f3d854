import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SHOTS, fake, headlessShell, open, ready, screenshot, server, until } from './harness.js';

let exchanges, sisepan, chrome;

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await headlessShell();
  await ready(sisepan);
  await until('there is a price history', async () => {
    const history = await (await fetch(`${sisepan.url}/api/v1/history/BTC-KRW?step=1h`)).json();
    return history.close.filter((close) => close !== null).length > 20 || history.close;
  });
});

after(async () => {
  await chrome?.close();
  await sisepan?.stop();
  await exchanges?.stop();
});

const pageUrl = (market, lang = 'ko') => `${sisepan.url}/market/${market}?lang=${lang}`;
const setPrice = (market, price) => Promise.all(['upbit', 'bithumb'].map((venue) => exchanges.price(venue, market, price)));

test('a market page is complete without script', async () => {
  const { page, close } = await open(chrome, pageUrl('BTC-KRW'), { javaScriptEnabled: false });
  assert.equal(await page.locator('svg.plot').count(), 2);
  for (const plot of await page.locator('svg.plot').all()) {
    const line = await plot.locator('.line').boundingBox();
    assert.ok(line && line.width > 10 && line.height > 10, 'a line is drawn');
    assert.ok((await plot.locator('.extreme').allTextContents()).every((text) => /^[\d,]+$/.test(text)));
  }
  assert.equal(await page.locator('.bases tbody tr').count(), 3);
  assert.match(await page.locator('[data-cell="last"]').textContent(), /^[\d,]+$/);
  await close();
});

test('the figures and the last point of a plot follow the stream', async () => {
  const { page, trouble, close } = await open(chrome, pageUrl('ETH-KRW'));
  await page.locator('.sisepan[data-live="on"]').waitFor();
  const update = async (price, sign) => {
    await setPrice('ETH-KRW', price);
    const shown = Number(price).toLocaleString('en');
    await until('the heading has the new price', async () => (await page.locator('[data-cell="last"]').textContent()) === shown);
    await until('the figures have it, too', async () => (await page.locator('.told').getAttribute('data-said')).startsWith(price + '|'));
    await until('the change has the same sign on all bases', async () => {
      const changes = await page.locator('.bases [data-cell="change"]').allTextContents();
      return changes.every((change) => change.startsWith(sign)) || changes;
    });
    return page.locator('svg.plot .last').first().getAttribute('cy');
  };
  // Far above and far below all prices of the day: the point is at the top, then at the bottom.
  const top = await update('9999000', '+');
  const bottom = await update('1000000', '-');
  assert.ok(parseFloat(top) < parseFloat(bottom), `${top} is above ${bottom}`);
  assert.deepEqual(trouble, []);
  await close();
});

test('FC-39: all figures of the page are consistent, however fast prices move', async () => {
  const { page, trouble, close } = await open(chrome, pageUrl('SOL-KRW'));
  await page.locator('.sisepan[data-live="on"]').waitFor();
  // Checks after every change of the document, before it is painted.
  await page.evaluate(() => {
    const { basis } = document.querySelector('main').dataset;
    const text = (where) => document.querySelector(where)?.textContent;
    window.seen = { different: [], prices: new Set() };
    const checkFigures = () => {
      const head = text('.quote [data-cell="change"]');
      const table = text(`.bases tr[data-basis="${basis}"] [data-cell="change"]`);
      const last = text('.quote [data-cell="last"]');
      const plot = document.querySelector('svg.plot').getAttribute('aria-label');
      window.seen.prices.add(last);
      if (head !== table || !plot.includes(last)) window.seen.different.push([head, table, last, plot]);
    };
    checkFigures();
    new MutationObserver(checkFigures).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  for (let step = 0; step < 8; step++) {
    const price = 180000 + step * 1700;
    await setPrice('SOL-KRW', String(price));
    await until(`the page shows ${price}`, async () => (await page.locator('.quote [data-cell="last"]').textContent()) === price.toLocaleString('en'));
  }
  const seen = await page.evaluate(() => ({ different: window.seen.different, prices: window.seen.prices.size }));
  assert.deepEqual(seen.different, []);
  assert.ok(seen.prices >= 8, `${seen.prices} prices`);
  assert.deepEqual(trouble, []);
  await close();
});

for (const [width, scheme, lang] of [[320, 'light', 'ko'], [320, 'dark', 'en'], [320, 'light', 'ja'], [1280, 'light', 'en'], [1280, 'dark', 'ko']]) {
  test(`nothing overflows at ${width} in ${scheme}, ${lang}`, async () => {
    const { page, close } = await open(chrome, pageUrl('BTC-KRW', lang), { viewport: { width, height: 800 }, colorScheme: scheme });
    await screenshot(page, { path: `${SHOTS}/market-${width}-${scheme}.png`, fullPage: true });
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    await close();
  });
}

test('a row of the start page leads to its market and back', async () => {
  const { page, close } = await open(chrome, `${sisepan.url}/?lang=ko`);
  await page.locator('[data-market="XRP-KRW"] a').first().click();
  await page.locator('h1', { hasText: 'XRP-KRW' }).waitFor();
  await page.locator('.brand').click();
  await page.locator('tr[data-market="XRP-KRW"]').first().waitFor();
  await close();
});

test('FC-40: prices that are not live are grey on market pages, charts and sparklines', async () => {
  const looks = async (page) => page.evaluate(() => {
    const root = document.querySelector('.sisepan');
    const probe = root.appendChild(document.createElement('i'));
    probe.style.color = 'var(--quiet)';
    const quiet = getComputedStyle(probe).color;
    probe.remove();
    const colour = (element, property) => getComputedStyle(element)[property];
    const of = (where, property) => [...document.querySelectorAll(where)].map((element) => [where, colour(element, property), quiet]);
    return [
      ...of('.sisepan [data-cell="change"]', 'color'),
      ...of('.sisepan .quote [data-cell="last"], .sisepan [data-quote] [data-cell="last"]', 'color'),
      ...of('.plot .line, .spark .line', 'stroke'),
      ...of('.plot .area, .plot .last', 'fill'),
    ];
  });
  const paths = ['market/ADA-KRW?lang=ko', 'embed/chart?markets=ADA-KRW&lang=ko', 'embed/card?markets=ADA-KRW&lang=ko'];
  await setPrice('ADA-KRW', '1900');
  const pages = await Promise.all(paths.map((path) => open(chrome, `${sisepan.url}/${path}`)));
  for (const { page } of pages) {
    await page.locator('.sisepan[data-live="on"]').waitFor();
    await until('a live market has colour', async () => (await looks(page)).some(([, is, quiet]) => is !== quiet));
  }
  for (const venue of ['upbit', 'bithumb']) {
    await exchanges.fault({ venue, fault: 'mute' });
    await exchanges.fault({ venue, fault: 'status', status: 503 });
  }
  // Open pages turn grey by themselves; pages loaded now are grey without script.
  for (const [at, { page, close }] of pages.entries()) {
    await until(`${paths[at]} is grey`, async () => {
      const coloured = (await looks(page)).filter(([, is, quiet]) => is !== quiet);
      return coloured.length === 0 || coloured;
    });
    await close();
    const still = await open(chrome, `${sisepan.url}/${paths[at]}`, { javaScriptEnabled: false });
    await screenshot(still.page, { path: `${SHOTS}/stale-${at}.png`, fullPage: true });
    await still.close();
    const fresh = await open(chrome, `${sisepan.url}/${paths[at]}`);
    const seen = await looks(fresh.page);
    assert.ok(seen.length >= 2 && seen.every(([, is, quiet]) => is === quiet), JSON.stringify(seen));
    await fresh.close();
  }
  await exchanges.clearFaults();
});
