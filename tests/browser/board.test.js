import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { NAMES, SHOTS, fake, headlessShell, open, ready, screenshot, servedText, server, site, until } from './harness.js';

let exchanges, sisepan, chrome;
const sites = [];

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await headlessShell();
  await ready(sisepan);
});

after(async () => {
  await chrome?.close();
  for (const one of sites) await one.stop();
  await sisepan?.stop();
  await exchanges?.stop();
});

const host = async (body) => {
  const made = await site(body);
  sites.push(made);
  return made.url;
};
const script = () => `<script type="module" src="${sisepan.url}/sisepan.js"></script>`;
const element = () => host(`${script()}<style>td{font-size:40px!important}</style><sisepan-board board="krw" lang="ko">시세</sisepan-board>`);
const frame = () => host(`${script()}<iframe src="${sisepan.url}/embed/board?board=krw&lang=ko" sandbox="allow-scripts" width="300"></iframe>`);

const row = (view, market) => view.locator(`[data-market="${market}"]`).first();
const cell = (view, market, name) => row(view, market).locator(`[data-cell="${name}"]`);
const isLive = (view) => view.locator('.sisepan[data-live="on"]').first().waitFor({ state: 'attached' });

/** Sets a price on both Korean exchanges, since the board may use either. */
const setPrice = (market, price) => Promise.all(['upbit', 'bithumb'].map((venue) => exchanges.price(venue, market, price)));

test('all rows are rendered without script', async () => {
  const included = await (await fetch(`${sisepan.url}/fragment/board?board=krw&lang=ko`)).text();
  const pages = [
    `${sisepan.url}/?lang=ko`,
    `${sisepan.url}/embed/board?board=krw&lang=ko`,
    await host(included),
  ];
  for (const url of pages) {
    const { page, close } = await open(chrome, url, { javaScriptEnabled: false });
    const board = page.locator('[data-widget="board"]').first();
    assert.deepEqual(await board.locator('[data-cell="name"]').allTextContents(), NAMES, url);
    assert.match(await board.textContent(), /24시간 변동률 기준/);
    await close();
  }
  const { page, close } = await open(chrome, await frame(), { javaScriptEnabled: false });
  assert.equal(await page.frameLocator('iframe').locator('[data-market]').count(), 11);
  await close();
});

for (const [what, url, inside] of [
  ['an element on another origin', element, (page) => page],
  ['a sandboxed iframe on another origin', frame, (page) => page.frameLocator('iframe')],
  ['a fragment included by another server', async () => host(script() + (await (await fetch(`${sisepan.url}/fragment/board?lang=ko`)).text())), (page) => page],
]) {
  test(`${what} shows a new price with the formatting of the server`, async () => {
    const { page, trouble, close } = await open(chrome, await url());
    const view = inside(page);
    await isLive(view);
    const price = 143_000_000 + Math.floor(Math.random() * 900) * 1000;
    const shown = price.toLocaleString('en-US');
    await setPrice('BTC-KRW', String(price));
    await until(`${shown} is on screen`, async () => {
      const text = await cell(view, 'BTC-KRW', 'last').textContent();
      return text === shown || text;
    });
    for (const name of ['name', 'last', 'change']) {
      await until(`${name} has the formatting of the server`, async () => (await cell(view, 'BTC-KRW', name).textContent()) === (await servedText(sisepan, 'BTC-KRW', name)));
    }
    assert.deepEqual(await view.locator('[data-cell="name"]').allTextContents(), NAMES);
    assert.deepEqual(trouble, []);
    await close();
  });
}

test('the iframe sends its height, and the parent applies it', async () => {
  const { page, close } = await open(chrome, await frame());
  await until('the frame is as high as its table', async () => {
    const { height } = await page.locator('iframe').boundingBox();
    return (height > 350 && height < 700) || height;
  });
  await close();
});

test('boards with the same subscription share one connection', async () => {
  const url = await host(script() + '<sisepan-board lang="ko"></sisepan-board>'.repeat(8));
  // High enough for all widgets, since those off screen are not updated.
  const context = await chrome.newContext({ viewport: { width: 400, height: 5000 } });
  const page = await context.newPage();
  let sockets = 0;
  page.on('websocket', () => sockets++);
  await page.goto(url);
  await until('all eight are live', async () => (await page.locator('.sisepan[data-live="on"]').count()) === 8);
  assert.equal(sockets, 1);
  await context.close();
});

test('nothing is stored, and an update moves nothing', async () => {
  const { page, close } = await open(chrome, `${sisepan.url}/?lang=ko`);
  await isLive(page);
  const before = await page.locator('[data-market="SAND-KRW"]').first().boundingBox();
  await setPrice('BTC-KRW', '99000');
  await until('the new price is there', async () => (await cell(page, 'BTC-KRW', 'last').textContent()) === '99,000');
  assert.deepEqual(await page.locator('[data-market="SAND-KRW"]').first().boundingBox(), before);
  assert.deepEqual(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]), ['', 0, 0]);
  await close();
});

test('pages and widgets follow the preference for more contrast', async () => {
  const colours = (page) => page.evaluate(() => {
    const of = (selector, property) => getComputedStyle(document.querySelector(selector))[property];
    return {
      page: [of('html', 'color'), of('nav a:not([aria-current])', 'color')],
      widget: [of('.sisepan', 'color'), of('.sisepan p', 'color'), of('.sisepan tbody td', 'borderTopColor')],
    };
  });
  for (const colorScheme of ['light', 'dark']) {
    const { page, close } = await open(chrome, `${sisepan.url}/?lang=ko`, { colorScheme, javaScriptEnabled: false });
    const normal = await colours(page);
    assert.ok(new Set(normal.page).size === 2 && new Set(normal.widget).size > 1, JSON.stringify(normal));
    await close();
    const { page: strong, close: done } = await open(chrome, `${sisepan.url}/?lang=ko`, { colorScheme, contrast: 'more', javaScriptEnabled: false });
    const { page: ofPage, widget } = await colours(strong);
    assert.equal(new Set(ofPage).size, 1, JSON.stringify(ofPage));
    assert.equal(new Set(widget).size, 1, JSON.stringify(widget));
    await done();
  }
});

test('a silent exchange is shown as stale, and recovers by itself', async () => {
  const { page, close } = await open(chrome, await element());
  await isLive(page);
  for (const venue of ['upbit', 'bithumb']) {
    await exchanges.fault({ venue, fault: 'mute' });
    await exchanges.fault({ venue, fault: 'status', status: 503 });
  }
  await until('the row is stale', async () => {
    const state = await row(page, 'BTC-KRW').getAttribute('data-state');
    return (state === 'stale' && (await cell(page, 'BTC-KRW', 'mark').textContent()) !== '') || state;
  });
  assert.notEqual(await cell(page, 'BTC-KRW', 'last').textContent(), '–');
  await until('the heading of the board shows it as well', async () => {
    const light = await page.locator('.sisepan').getAttribute('data-live');
    const clock = await page.locator('[data-cell="clock"]').textContent();
    return (light === 'stale' && clock === '갱신 중단') || `${light} ${clock}`;
  });
  await screenshot(page, { path: `${SHOTS}/element-stale.png` });
  await exchanges.clearFaults();
  await until('the row is live again', async () => {
    const state = await row(page, 'BTC-KRW').getAttribute('data-state');
    return state === 'live' || state;
  });
  await isLive(page);
  assert.equal(await page.locator('[data-cell="clock"]').textContent(), '실시간');
  await close();
});

test('a missing change is explained, initially and after updates, until the change is known', async () => {
  // Close to the later prices: a jump would have to be confirmed over REST.
  await setPrice('BTC-KRW', '143001000');
  // The stream works, but the price history is unavailable.
  for (const venue of ['upbit', 'bithumb']) await exchanges.fault({ venue, fault: 'status', status: 503 });
  const young = await server(exchanges);
  await ready(young);
  for (const [widget, label] of [['board', 'base'], ['tape', 'no_change'], ['ticker', 'no_change'], ['card', 'base']]) {
    const { page, close } = await open(chrome, `${young.url}/embed/${widget}?markets=BTC-KRW&lang=ko`);
    const title = () => row(page, 'BTC-KRW').locator('[title]').first().getAttribute('title');
    const why = /^변동률 표시 불가: ./;
    assert.match(await title(), why, widget);
    await isLive(page);
    await setPrice('BTC-KRW', '143000000');
    await until('the new price', async () => (await cell(page, 'BTC-KRW', 'last').textContent()) === '143,000,000');
    assert.equal(await cell(page, 'BTC-KRW', 'change').textContent(), '–', widget);
    assert.match(await title(), why, widget);
    assert.match(await cell(page, 'BTC-KRW', label).textContent(), why, widget);
    await setPrice('BTC-KRW', '143001000');
    await close();
  }
  const { page, close } = await open(chrome, `${young.url}/embed/tape?markets=BTC-KRW&lang=ko`);
  await exchanges.clearFaults();
  await until('the change is known', async () => (await cell(page, 'BTC-KRW', 'change').textContent()).endsWith('%'));
  await until('its base is shown instead', async () => (await row(page, 'BTC-KRW').locator('[title]').first().getAttribute('title')).startsWith('기준 '));
  assert.equal(await cell(page, 'BTC-KRW', 'no_change').textContent(), '');
  await close();
  await young.stop();
});

test('a page reconnects to a server that was killed and restarted', async () => {
  const { page, close } = await open(chrome, await element());
  await isLive(page);
  await sisepan.kill();
  await page.locator('.sisepan[data-live="off"]').waitFor();
  assert.equal(await page.locator('[data-market]').count(), 11);
  await screenshot(page, { path: `${SHOTS}/element-off.png` });
  await sisepan.restart();
  await ready(sisepan);
  await setPrice('ETH-KRW', '5123000');
  await until('the board is live and right', async () => {
    const text = await cell(page, 'ETH-KRW', 'last').textContent();
    return (text === '5,123,000' && (await page.locator('.sisepan[data-live="on"]').count()) === 1) || text;
  });
  await close();
});

test('screenshots', async () => {
  for (const [width, where] of [[320, '/embed/board'], [320, '/'], [1280, '/']]) {
    for (const colorScheme of ['light', 'dark']) {
      for (const lang of ['ko', 'en', 'ja']) {
        const options = { viewport: { width, height: 800 }, deviceScaleFactor: 2, colorScheme };
        const { page, trouble, close } = await open(chrome, `${sisepan.url}${where}?lang=${lang}`, options);
        await isLive(page);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${where} ${lang} is ${wide} px too wide at ${width}`);
        assert.deepEqual(trouble, []);
        const name = where === '/' ? 'home' : 'embed';
        await screenshot(page, { path: `${SHOTS}/${name}-${width}-${colorScheme}-${lang}.png`, fullPage: true });
        await close();
      }
    }
  }
});
