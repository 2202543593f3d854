import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SHOTS, browser, fake, open, ready, server, until } from './harness.js';

let exchanges, sisepan, chrome;

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await browser();
  await ready(sisepan);
  await until('the past is there', async () => {
    const past = await (await fetch(`${sisepan.url}/api/v1/history/BTC-KRW?step=1h`)).json();
    return past.close.filter((close) => close !== null).length > 20 || past.close;
  }, 60_000);
});

after(async () => {
  await chrome?.close();
  await sisepan?.stop();
  await exchanges?.stop();
});

const page_of = (market, lang = 'ko') => `${sisepan.url}/market/${market}?lang=${lang}`;
const setPrice = (market, price) => Promise.all(['upbit', 'bithumb'].map((venue) => exchanges.price(venue, market, price)));

test('the page of a market is complete without script', async () => {
  const { page, close } = await open(chrome, page_of('BTC-KRW'), { javaScriptEnabled: false });
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

test('the figures and the last point follow the stream', async () => {
  const { page, trouble, close } = await open(chrome, page_of('ETH-KRW'));
  await page.locator('.sisepan[data-live="on"]').waitFor();
  const told = async (price, sign) => {
    await setPrice('ETH-KRW', price);
    const shown = Number(price).toLocaleString('en');
    await until('the head has the new price', async () => (await page.locator('[data-cell="last"]').textContent()) === shown);
    await until('so have the figures', async () => (await page.locator('.told').getAttribute('data-said')).startsWith(price + '|'));
    await until('all bases say the same', async () => {
      const changes = await page.locator('.bases [data-cell="change"]').allTextContents();
      return changes.every((change) => change.startsWith(sign)) || changes;
    });
    return page.locator('svg.plot .last').first().getAttribute('cy');
  };
  // Far above and far below whatever the day had: the point stands at the top, then at the bottom.
  const top = await told('9999000', '+');
  const bottom = await told('1000000', '-');
  assert.ok(parseFloat(top) < parseFloat(bottom), `${top} is above ${bottom}`);
  assert.deepEqual(trouble, []);
  await close();
});

for (const [width, scheme, lang] of [[320, 'light', 'ko'], [320, 'dark', 'en'], [320, 'light', 'ja'], [1280, 'light', 'en'], [1280, 'dark', 'ko']]) {
  test(`nothing overflows at ${width} in ${scheme}, ${lang}`, async () => {
    const { page, close } = await open(chrome, page_of('BTC-KRW', lang), { viewport: { width, height: 800 }, colorScheme: scheme });
    await page.screenshot({ path: `${SHOTS}/market-${width}-${scheme}.png`, fullPage: true });
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
