// Notices of exchanges, and halted markets.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import AxeBuilder from '@axe-core/playwright';
import { SHOTS, fake, headlessShell, open, ready, screenshot, server, until } from './harness.js';

const LONG_MS = 60_000;

let exchanges, sisepan, chrome;

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await headlessShell();
  await ready(sisepan);
});

after(async () => {
  await chrome?.close();
  await sisepan?.stop();
  await exchanges?.stop();
});

const warn = (symbol, more = {}) => exchanges.fault({ fault: 'warn', symbol, ...more });

/** Waits until the API of the server returns a notice. */
const waitForNotice = async (market, notice) => {
  await until(`${market} has the notice ${notice}`, async () => {
    const { rows } = await (await fetch(`${sisepan.url}/api/v1/snapshot?markets=${market}&lang=ko`)).json();
    return (rows[0].text.notice ?? '') === notice || rows[0];
  }, LONG_MS);
};

/** Sets up a warning, an announced delisting and a halt. */
const setUp = async () => {
  await exchanges.clearFaults();
  await warn('ETH-KRW');
  await warn('BTC-KRW', { date: '2030-12-01' });
  await exchanges.fault({ fault: 'halt', symbol: 'XRP-KRW' });
  await waitForNotice('ETH-KRW', '유의');
  await waitForNotice('BTC-KRW', '12.01 거래종료');
  await until('XRP-KRW is halted', async () => {
    const { rows } = await (await fetch(`${sisepan.url}/api/v1/snapshot?markets=XRP-KRW`)).json();
    return rows[0].reason === 'suspended' || rows[0];
  }, LONG_MS);
};

const NOTICES = { ko: ['12.01 거래종료', '유의'], en: ['delisting 1 Dec', 'warning'], ja: ['12.01 取扱終了', '警告'] };

test('FC-11: every widget shows notices without script', { timeout: 120_000 }, async () => {
  await setUp();
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
  const noticesOf = async (market) => {
    const { page, close } = await open(chrome, `${sisepan.url}/market/${market}?lang=ko`, { javaScriptEnabled: false });
    const texts = [await page.locator('.from [data-cell="notice"]').textContent(), await page.locator('.warned').allTextContents()];
    await close();
    return texts;
  };
  assert.deepEqual(await noticesOf('BTC-KRW'), ['12.01 거래종료', ['빗썸: 2030-12-01 거래지원 종료 예정.']]);
  assert.deepEqual(await noticesOf('ETH-KRW'), ['유의', ['빗썸: 유의 종목.']]);
  // Both exchanges have halted it, and the row may come from either.
  const [none, [halted]] = await noticesOf('XRP-KRW');
  assert.equal(none, '');
  assert.match(halted, /^(빗썸|업비트): 거래 중단\.$/);
  assert.deepEqual(await noticesOf('SOL-KRW'), ['', []]);
});

test('FC-11: a notice appears and disappears live, in a widget and on the market page', { timeout: 240_000 }, async () => {
  await exchanges.clearFaults();
  await waitForNotice('SOL-KRW', '');
  const board = await open(chrome, `${sisepan.url}/embed/board?lang=ko`);
  const market = await open(chrome, `${sisepan.url}/market/SOL-KRW?lang=ko`);
  for (const { page } of [board, market]) await page.locator('.sisepan[data-live="on"]').waitFor();
  const notice = board.page.locator('[data-market="SOL-KRW"] [data-cell="notice"]');
  const box = await board.page.locator('[data-market="SOL-KRW"]').boundingBox();
  const shown = async (short, long) => {
    await until('the widget shows it', async () => (await notice.textContent()) === short || (await notice.textContent()), LONG_MS);
    const texts = () => Promise.all([market.page.locator('.from [data-cell="notice"]').textContent(), market.page.locator('.warned').allTextContents()]);
    await until('the page shows it', async () => JSON.stringify(await texts()) === JSON.stringify([short, long]) || (await texts()), LONG_MS);
  };
  await shown('', []);
  await warn('SOL-KRW');
  await shown('유의', ['빗썸: 유의 종목.']);
  assert.deepEqual(await board.page.locator('[data-market="SOL-KRW"]').boundingBox(), box, 'nothing has moved');
  await warn('SOL-KRW', { date: '2030-12-01' });
  await shown('12.01 거래종료', ['빗썸: 2030-12-01 거래지원 종료 예정.']);
  assert.deepEqual(await board.page.locator('[data-market="SOL-KRW"]').boundingBox(), box, 'nothing has moved');
  assert.equal(await board.page.locator('[data-market="SOL-KRW"]').getAttribute('data-state'), 'live');
  await exchanges.clearFaults();
  await shown('', []);
  for (const { trouble, close } of [board, market]) {
    assert.deepEqual(trouble, []);
    await close();
  }
});

test('FC-11: notices fit in 200 pixels, and axe finds nothing, light and dark', { timeout: 240_000 }, async () => {
  await setUp();
  const paths = ['board', 'tape', 'card', 'ticker', 'chart'].map((widget) => `/embed/${widget}?markets=BTC-KRW,ETH-KRW,XRP-KRW&lang=`.replace(/chart\?markets=[^&]*/, 'chart?markets=BTC-KRW'));
  const wrong = [];
  for (const path of [...paths, '/market/BTC-KRW?lang=']) {
    for (const lang of ['ko', 'en', 'ja']) {
      // Pages are made for 320 pixels and more, widgets for 200.
      for (const width of path.startsWith('/embed') ? [200, 320] : [320]) {
        const { page, close } = await open(chrome, sisepan.url + path + lang, { viewport: { width, height: 640 }, javaScriptEnabled: false });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (over > 0) wrong.push(`${path}${lang} at ${width}: ${over} too wide`);
        // Nothing is cut off, except on the tape, which scrolls.
        const cut = await page.locator('[data-cell="notice"]:not(:empty)').evaluateAll((all) => all.filter((it) => {
          const { left, right } = it.getBoundingClientRect();
          return !it.closest('[data-track]') && (left < 0 || right > innerWidth);
        }).length);
        if (cut) wrong.push(`${path}${lang} at ${width}: a notice is cut off`);
        const name = path.split('?')[0].replaceAll('/', '-');
        if (lang !== 'ja') await screenshot(page, { path: `${SHOTS}/notice${name}-${lang}-${width}.png` });
        await close();
      }
    }
  }
  assert.deepEqual(wrong, []);
  for (const [path, colorScheme] of [['/embed/board?lang=ko', 'dark'], ['/embed/card?lang=en&markets=BTC-KRW', 'light'], ['/market/BTC-KRW?lang=ko', 'dark'], ['/market/ETH-KRW?lang=en', 'light']]) {
    const { page, close } = await open(chrome, sisepan.url + path, { colorScheme, viewport: { width: 1280, height: 900 } });
    const { violations } = await new AxeBuilder({ page }).analyze();
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), [], path);
    await screenshot(page, { path: `${SHOTS}/notice${path.split('?')[0].replaceAll('/', '-')}-${colorScheme}-1280.png` });
    await close();
  }
  const { page, close } = await open(chrome, `${sisepan.url}/embed/board?lang=ko`, { forcedColors: 'active', javaScriptEnabled: false });
  const notice = page.locator('[data-market="BTC-KRW"] [data-cell="notice"]');
  assert.notEqual(...(await notice.evaluate((it) => [getComputedStyle(it).color, getComputedStyle(document.body).backgroundColor])));
  await close();
});
