// What exchanges warn of, and why a market is halted.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import AxeBuilder from '@axe-core/playwright';
import { SHOTS, browser, fake, open, ready, server, until } from './harness.js';

const LONG = 60_000;

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

const warn = (symbol, more = {}) => exchanges.fault({ fault: 'warn', symbol, ...more });

/** Waits until the server itself says it, from its fallback exchange too. */
const says = async (market, notice) => {
  await until(`${market} says ${notice}`, async () => {
    const { rows } = await (await fetch(`${sisepan.url}/api/v1/snapshot?markets=${market}&lang=ko`)).json();
    return (rows[0].text.notice ?? '') === notice || rows[0];
  }, LONG);
};

/** Orders what the tests look at: a watch list, an announced delisting, a halt. */
const order = async () => {
  await exchanges.heal();
  await warn('ETH-KRW');
  await warn('BTC-KRW', { date: '2030-12-01' });
  await exchanges.fault({ fault: 'halt', symbol: 'XRP-KRW' });
  await says('ETH-KRW', '유의');
  await says('BTC-KRW', '12.01 거래종료');
  await until('XRP-KRW is halted', async () => {
    const { rows } = await (await fetch(`${sisepan.url}/api/v1/snapshot?markets=XRP-KRW`)).json();
    return rows[0].reason === 'suspended' || rows[0];
  }, LONG);
};

const NOTICES = { ko: ['12.01 거래종료', '유의'], en: ['delisting 1 Dec', 'warning'], ja: ['12.01 取扱終了', '警告'] };

test('FC-11: a notice is on every widget without script, in words', { timeout: 120_000 }, async () => {
  await order();
  for (const [lang, [delisting, warning]] of Object.entries(NOTICES)) {
    for (const widget of ['board', 'tape', 'card', 'ticker', 'chart']) {
      const url = `${sisepan.url}/embed/${widget}?lang=${lang}&markets=BTC-KRW${widget === 'chart' ? '' : ',ETH-KRW,SOL-KRW'}`;
      const { page, close } = await open(chrome, url, { javaScriptEnabled: false });
      const expected = widget === 'chart' ? [delisting] : [delisting, warning, ''];
      assert.deepEqual(await page.locator('[data-cell="notice"]').allTextContents(), expected, url);
      assert.ok(await page.locator('[data-cell="notice"]').first().isVisible(), url);
      await close();
    }
  }
  const page_of = async (market) => {
    const { page, close } = await open(chrome, `${sisepan.url}/market/${market}?lang=ko`, { javaScriptEnabled: false });
    const texts = [await page.locator('.from [data-cell="notice"]').textContent(), await page.locator('.warned').allTextContents()];
    await close();
    return texts;
  };
  assert.deepEqual(await page_of('BTC-KRW'), ['12.01 거래종료', ['빗썸: 2030-12-01 거래지원 종료 예정.']]);
  assert.deepEqual(await page_of('ETH-KRW'), ['유의', ['빗썸: 유의 종목.']]);
  // Both exchanges have halted it, one a moment before the other: the row may be of either.
  const [none, [halted]] = await page_of('XRP-KRW');
  assert.equal(none, '');
  assert.match(halted, /^(빗썸|업비트): 거래 중단\.$/);
  assert.deepEqual(await page_of('SOL-KRW'), ['', []]);
});

test('FC-11: a notice comes and goes live, on a widget and on the page of the market', { timeout: 240_000 }, async () => {
  await exchanges.heal();
  await says('SOL-KRW', '');
  const board = await open(chrome, `${sisepan.url}/embed/board?lang=ko`);
  const market = await open(chrome, `${sisepan.url}/market/SOL-KRW?lang=ko`);
  for (const { page } of [board, market]) await page.locator('.sisepan[data-live="on"]').waitFor();
  const notice = board.page.locator('[data-market="SOL-KRW"] [data-cell="notice"]');
  const price = await board.page.locator('[data-market="SOL-KRW"]').boundingBox();
  const shown = async (short, long) => {
    await until('the widget says it', async () => (await notice.textContent()) === short || (await notice.textContent()), LONG);
    const told = () => Promise.all([market.page.locator('.from [data-cell="notice"]').textContent(), market.page.locator('.warned').allTextContents()]);
    await until('the page says it', async () => JSON.stringify(await told()) === JSON.stringify([short, long]) || (await told()), LONG);
  };
  await shown('', []);
  await warn('SOL-KRW');
  await shown('유의', ['빗썸: 유의 종목.']);
  assert.deepEqual(await board.page.locator('[data-market="SOL-KRW"]').boundingBox(), price, 'nothing has moved');
  await warn('SOL-KRW', { date: '2030-12-01' });
  await shown('12.01 거래종료', ['빗썸: 2030-12-01 거래지원 종료 예정.']);
  assert.deepEqual(await board.page.locator('[data-market="SOL-KRW"]').boundingBox(), price, 'nothing has moved');
  assert.equal(await board.page.locator('[data-market="SOL-KRW"]').getAttribute('data-state'), 'live');
  await exchanges.heal();
  await shown('', []);
  for (const { trouble, close } of [board, market]) {
    assert.deepEqual(trouble, []);
    await close();
  }
});

test('FC-11: notices fit in 200 pixels, and axe finds nothing, light and dark', { timeout: 240_000 }, async () => {
  await order();
  const paths = ['board', 'tape', 'card', 'ticker', 'chart'].map((widget) => `/embed/${widget}?markets=BTC-KRW,ETH-KRW,XRP-KRW&lang=`.replace(/chart\?markets=[^&]*/, 'chart?markets=BTC-KRW'));
  const wrong = [];
  for (const path of [...paths, '/market/BTC-KRW?lang=']) {
    for (const lang of ['ko', 'en', 'ja']) {
      // Our own pages are for 320 pixels and more.
      for (const width of path.startsWith('/embed') ? [200, 320] : [320]) {
        const { page, close } = await open(chrome, sisepan.url + path + lang, { viewport: { width, height: 640 }, javaScriptEnabled: false });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (over > 0) wrong.push(`${path}${lang} at ${width}: ${over} too wide`);
        // Nothing is cut off: on the tape it is scrolled to.
        const cut = await page.locator('[data-cell="notice"]:not(:empty)').evaluateAll((all) => all.filter((it) => {
          const { left, right } = it.getBoundingClientRect();
          return !it.closest('[data-track]') && (left < 0 || right > innerWidth);
        }).length);
        if (cut) wrong.push(`${path}${lang} at ${width}: a notice is cut off`);
        const name = path.split('?')[0].replaceAll('/', '-');
        if (lang !== 'ja') await page.screenshot({ path: `${SHOTS}/notice${name}-${lang}-${width}.png` });
        await close();
      }
    }
  }
  assert.deepEqual(wrong, []);
  for (const [path, colorScheme] of [['/embed/board?lang=ko', 'dark'], ['/embed/card?lang=en&markets=BTC-KRW', 'light'], ['/market/BTC-KRW?lang=ko', 'dark'], ['/market/ETH-KRW?lang=en', 'light']]) {
    const { page, close } = await open(chrome, sisepan.url + path, { colorScheme, viewport: { width: 1280, height: 900 } });
    const { violations } = await new AxeBuilder({ page }).analyze();
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), [], path);
    await page.screenshot({ path: `${SHOTS}/notice${path.split('?')[0].replaceAll('/', '-')}-${colorScheme}-1280.png` });
    await close();
  }
  const { page, close } = await open(chrome, `${sisepan.url}/embed/board?lang=ko`, { forcedColors: 'active', javaScriptEnabled: false });
  const notice = page.locator('[data-market="BTC-KRW"] [data-cell="notice"]');
  assert.notEqual(...(await notice.evaluate((it) => [getComputedStyle(it).color, getComputedStyle(document.body).backgroundColor])));
  await close();
});
