// The connection of a page: shared, resumed, rate-limited, retried, with fallbacks for blocked WebSockets.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, fake, open, ready, server, site, until } from './harness.js';
import { startProxy } from './front.js';

let exchanges, sisepan, chrome;
const opened = [];

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await browser();
  await ready(sisepan);
});

after(async () => {
  await chrome?.close();
  for (const one of opened) await one.stop();
  await sisepan?.stop();
  await exchanges?.stop();
});

const stopLater = (one) => {
  opened.push(one);
  return one;
};
const setPrice = (market, price) => Promise.all(['upbit', 'bithumb'].map((venue) => exchanges.price(venue, market, String(price))));
const isLive = (view) => view.locator('.sisepan[data-live="on"]').first().waitFor({ state: 'attached' });
const shows = (page, market, text, ms) =>
  until(`${market} is ${text}`, async () => {
    const shown = await page.locator(`[data-market="${market}"] [data-cell="last"]`).first().textContent();
    return shown === text || shown;
  }, ms);

/** Serves a page with a board, whose server is behind a proxy of its own. */
async function serveThroughProxy(body = '<sisepan-board board="krw" lang="ko">시세</sisepan-board>') {
  const proxy = stopLater(await startProxy(sisepan));
  const host = stopLater(await site(`<script type="module" src="${proxy.url}/sisepan.js"></script>${body}`));
  return { proxy, url: host.url };
}

/** Records all WebSocket messages of a page. */
function record(page) {
  const sent = [];
  const received = [];
  page.on('websocket', (socket) => {
    socket.on('framesent', ({ payload }) => sent.push(JSON.parse(String(payload))));
    socket.on('framereceived', ({ payload }) => received.push(JSON.parse(String(payload))));
  });
  return { sent, received };
}

async function visit(url, options, script = undefined) {
  const context = await chrome.newContext({ viewport: { width: 400, height: 900 }, ...options });
  const page = await context.newPage();
  if (script) await page.addInitScript(script);
  const messages = record(page);
  await page.goto(url);
  return { page, ...messages, close: () => context.close() };
}

test('twelve widgets with seven subscriptions share one connection, and keep the rate limit of the server', async () => {
  const attributes = ['', 'basis="utc-day"', 'basis="kst-day"', 'lang="en"', 'lang="ja"', 'markets="BTC-KRW"', 'markets="ETH-KRW,XRP-KRW"'];
  const elements = [...attributes, ...attributes.slice(0, 5)].map((attribute) => `<sisepan-board board="krw" ${attribute.includes('lang') ? '' : 'lang="ko"'} ${attribute}></sisepan-board>`);
  const { proxy, url } = await serveThroughProxy(elements.join(''));
  const { page, sent, close } = await visit(url, { viewport: { width: 400, height: 8000 } }, () => {
    // Measured in the page, since messages may arrive here with a delay on a busy machine.
    const { send } = WebSocket.prototype;
    Object.assign(globalThis, { sentAt: [] });
    WebSocket.prototype.send = function (...message) {
      globalThis.sentAt.push(performance.now());
      return send.apply(this, message);
    };
  });
  await until('all twelve are live', async () => {
    const live = await page.locator('.sisepan[data-live="on"]').count();
    return live === 12 || live;
  });
  assert.equal(proxy.count('websocket'), 1);
  const requests = sent.filter(({ type }) => type === 'subscribe');
  assert.equal(requests.length, 7);
  assert.equal(new Set(requests.map(({ id }) => id)).size, 7);
  const sentAt = await page.evaluate(() => globalThis.sentAt);
  assert.ok(sentAt.length >= 7, `${sentAt}`);
  for (const [first, at] of sentAt.entries()) {
    const second = sentAt.slice(first).filter((other) => other - at < 1000);
    assert.ok(second.length <= 5, `${second.length} messages in a second`);
  }
  await setPrice('ETH-KRW', 5_111_000);
  await until('all that show it have the new price', async () => {
    const texts = await page.locator('[data-market="ETH-KRW"] [data-cell="last"]').allTextContents();
    return (texts.length === 11 && texts.every((text) => text === '5,111,000')) || texts;
  });
  assert.equal(proxy.count('websocket'), 1);
  await close();
});

test('removing a widget ends its subscription, and removing the last one closes the connection', async () => {
  const { proxy, url } = await serveThroughProxy('<sisepan-board id="a" board="krw" lang="ko"></sisepan-board><sisepan-board id="b" board="krw" lang="en"></sisepan-board>');
  const { page, sent, close } = await visit(url, { viewport: { width: 400, height: 2000 } });
  await until('both are live', async () => (await page.locator('.sisepan[data-live="on"]').count()) === 2);
  await page.evaluate(() => document.getElementById('b')?.remove());
  await until('one is unsubscribed', async () => sent.some(({ type, id }) => type === 'unsubscribe' && id === sent.find(({ lang }) => lang === 'en').id));
  await page.evaluate(() => document.getElementById('a')?.remove());
  await until('nothing is connected', async () => proxy.open() === 0 || proxy.open());
  await page.evaluate(() => document.body.append(document.createElement('sisepan-board')));
  await isLive(page);
  await close();
});

test('OUT-07 a cut connection is resumed', async () => {
  const { proxy, url } = await serveThroughProxy();
  const { page, sent, received, close } = await visit(url);
  await isLive(page);
  // Shortens the delay, which is random up to 15 s.
  await page.evaluate(() => (Math.random = () => 0.05));
  const { epoch } = received.find(({ type }) => type === 'snapshot');
  proxy.cut();
  await setPrice('BTC-KRW', 141_234_000);
  await shows(page, 'BTC-KRW', '141,234,000');
  const again = sent.filter(({ type }) => type === 'subscribe')[1];
  assert.equal(again.resume.epoch, epoch);
  assert.ok(again.resume.sequence > 0);
  assert.ok(received.some((message) => message.recovered === true), 'the server resumed the subscription');
  assert.equal(proxy.count('websocket'), 2);
  await close();
});

test('OUT-07 clients of a server that restarts reconnect at random times within 15 seconds', async () => {
  const { proxy, url } = await serveThroughProxy();
  const { page, close } = await visit(url);
  await isLive(page);
  // Records the planned delays.
  await page.evaluate(() => {
    const { setTimeout } = globalThis;
    Object.assign(globalThis, { waits: [] });
    Object.assign(globalThis, { setTimeout: (what, wait, ...more) => (globalThis.waits.push(wait), setTimeout(what, wait, ...more)) });
    Math.random = () => 0.9;
  });
  proxy.rules.down = true;
  proxy.cut();
  await until('the first wait is of 15 s at most', async () => {
    const waits = await page.evaluate(() => globalThis.waits);
    return waits.includes(0.9 * 15_000) || waits;
  });
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('the next is longer', async () => {
    const waits = await page.evaluate(() => globalThis.waits);
    return waits.includes(0.9 * 30_000) || waits;
  });
  // Each `online` event triggers another attempt, which fails.
  await until('three waits are of a minute', async () => {
    await page.evaluate(() => dispatchEvent(new Event('online')));
    const waits = await page.evaluate(() => globalThis.waits);
    return waits.filter((wait) => wait === 0.9 * 60_000).length >= 3 || waits;
  });
  const waits = await page.evaluate(() => globalThis.waits);
  assert.equal(Math.max(...waits), 0.9 * 60_000, 'never more than a minute');
  await close();
});

test('OUT-34 a page restored from the back/forward cache is live again', async () => {
  const { proxy, url } = await serveThroughProxy();
  const { page, close } = await visit(url);
  await isLive(page);
  await page.evaluate(() => addEventListener('pageshow', ({ persisted }) => (document.title = `persisted ${persisted}`)));
  await page.goto(url + '?elsewhere');
  await until('the first page has closed its connection', async () => proxy.open() === 1 || proxy.open());
  await page.goBack();
  await setPrice('XRP-KRW', 3_333);
  await shows(page, 'XRP-KRW', '3,333');
  await isLive(page);
  await close();
});

test('OUT-34 a connection that became silent while the page was suspended is replaced when the page is visible again', async () => {
  const { proxy, url } = await serveThroughProxy();
  const { page, close } = await visit(url);
  await isLive(page);
  proxy.rules.mute = true;
  // Advances the clock of the page by an hour.
  await page.evaluate(() => {
    const { now } = Date;
    Date.now = () => now() + 3_600_000;
  });
  proxy.rules.mute = false;
  const count = proxy.count('websocket');
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('there is a new one', async () => proxy.count('websocket') === count + 1);
  await close();
});

test('a hidden page closes its connection, and is live when it is visible again', async () => {
  const { proxy, url } = await serveThroughProxy();
  const { page, close } = await visit(url);
  await page.clock.install();
  await isLive(page);
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  await hide(true);
  await page.clock.runFor(25_000);
  await until('nothing is connected', async () => proxy.open() === 0);
  // Ten seconds after the last message it is marked as not live, even before it is visible again.
  await page.clock.runFor(11_000);
  await page.locator('.sisepan[data-live="off"]').waitFor();
  await hide(false);
  await setPrice('TRX-KRW', 444);
  await until('it is connected', async () => proxy.open() === 1);
  await page.clock.runFor(2_000);
  await shows(page, 'TRX-KRW', '444');
  await close();
});

test('OUT-33 without a server, a board is marked as not live after ten seconds, shows its age and keeps its prices', async () => {
  const { proxy, url } = await serveThroughProxy();
  const { page, close } = await visit(url);
  await isLive(page);
  proxy.rules.down = true;
  proxy.cut();
  await page.locator('.sisepan[data-live="off"]').waitFor();
  const clock = page.locator('[data-cell="clock"]').first();
  await until('the age grows', async () => {
    const text = await clock.textContent();
    return /^연결 끊김 · (?:[1-5]\d초|\d분) 전$/.test(text) || text;
  });
  assert.equal(await page.locator('[data-market]').count(), 11);
  assert.ok((await page.locator('[data-cell="last"]').allTextContents()).every((text) => /^[\d,.]+$/.test(text)));
  await close();
});

test('OUT-33 without WebSockets, two subscriptions use events and the third is polled, until the WebSocket works again', async () => {
  const { proxy, url } = await serveThroughProxy(
    ['ko', 'en', 'ja'].map((lang) => `<sisepan-board board="krw" lang="${lang}"></sisepan-board>`).join(''),
  );
  proxy.rules.websocket = false;
  const { page, close } = await visit(url, { viewport: { width: 400, height: 2500 } });
  const live = () => until('all three are live', async () => (await page.locator('.sisepan[data-live="on"]').count()) === 3);
  await live();
  assert.equal(proxy.count('/api/v1/events'), 2, 'two use events');
  assert.ok(proxy.count('/api/v1/snapshot') > 0, 'the third is polled');
  await setPrice('ADA-KRW', 1_234);
  await until('all three have the price', async () => {
    const texts = await page.locator('[data-market="ADA-KRW"] [data-cell="last"]').allTextContents();
    return texts.every((text) => text === '1,234') || texts;
  });
  assert.ok(proxy.log.some(({ path, headers }) => path.endsWith('/snapshot') && headers['if-none-match']), 'polled with the ETag');
  proxy.rules.websocket = true;
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('the WebSocket is used', async () => proxy.open() === 1);
  await until('polling has stopped', async () => {
    const polled = proxy.count('/api/v1/snapshot');
    await page.waitForTimeout(7_000);
    return proxy.count('/api/v1/snapshot') === polled;
  });
  await live();
  await close();
});

test('OUT-33 with WebSockets and events blocked, prices are polled', async () => {
  const { proxy, url } = await serveThroughProxy();
  Object.assign(proxy.rules, { websocket: false, events: false });
  const { page, close } = await visit(url);
  await isLive(page);
  await setPrice('ADA-KRW', 1_235);
  await shows(page, 'ADA-KRW', '1,235');
  await close();
});

test('FC-24: a subscription that the server rejects is requested once, and the error is logged', async () => {
  const { proxy, url } = await serveThroughProxy();
  Object.assign(proxy.rules, { websocket: false, refused: true });
  const { page, close } = await visit(url);
  const errors = [];
  page.on('console', (line) => line.type() === 'error' && errors.push(line.text()));
  await until('the error is logged', async () => errors.some((text) => text.includes('unknown value "krw" for board')) || errors);
  await page.locator('.sisepan[data-live="off"]').waitFor();
  // The next poll would be sent within 12 s.
  await page.waitForTimeout(13_000);
  assert.equal(proxy.count('/api/v1/snapshot'), 1);
  await close();
});

test('OUT-33 eight tabs are live over WebSockets; with only six HTTP connections, a tab without one is marked as not live', async () => {
  const { proxy, url } = await serveThroughProxy();
  const context = await chrome.newContext({ viewport: { width: 400, height: 900 } });
  const pages = [];
  for (let tab = 0; tab < 8; tab += 1) {
    const page = await context.newPage();
    await page.goto(url);
    await isLive(page);
    pages.push(page);
  }
  await setPrice('TRX-KRW', 445);
  for (const page of pages) await shows(page, 'TRX-KRW', '445');
  // Only HTTP/1.1 is left, with six connections per host; each event stream occupies one.
  proxy.rules.websocket = false;
  proxy.cut();
  await setPrice('TRX-KRW', 446);
  const shownBy = async (page) => {
    const state = await page.locator('.sisepan').first().getAttribute('data-live');
    const price = await page.locator('[data-market="TRX-KRW"] [data-cell="last"]').first().textContent();
    return state === 'on' ? price : state;
  };
  await until('each tab is correct or marked as not live', async () => {
    const shown = await Promise.all(pages.map(shownBy));
    return (shown.every((one) => one === '446' || one === 'off') && shown.filter((one) => one === '446').length >= 5) || shown;
  });
  await context.close();
});

test('a widget off screen is not updated until it becomes visible', async () => {
  const { url } = await serveThroughProxy('<sisepan-board board="krw" lang="ko"></sisepan-board><div style="height:3000px"></div><sisepan-board id="below" board="krw" lang="ko"></sisepan-board>');
  const { page, close } = await visit(url);
  await isLive(page);
  await page.waitForFunction(() => document.querySelector('#below')?.shadowRoot?.querySelector('.sisepan'));
  await page.evaluate(() => {
    const root = document.querySelector('#below')?.shadowRoot;
    Object.assign(globalThis, { writes: 0 });
    new MutationObserver((records) => (globalThis.writes += records.length)).observe(root, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await setPrice('SOL-KRW', 222_200);
  await shows(page, 'SOL-KRW', '222,200');
  assert.equal(await page.evaluate(() => globalThis.writes), 0);
  await page.locator('#below').scrollIntoViewIfNeeded();
  await until('it is up to date', async () => (await page.locator('#below [data-market="SOL-KRW"] [data-cell="last"]').textContent()) === '222,200');
  await close();
});

test('only changed cells are written', async () => {
  const { url } = await serveThroughProxy();
  const { page, close } = await visit(url);
  await isLive(page);
  await exchanges.hold?.();
  const rows = await page.evaluate(async () => {
    const root = document.querySelector('sisepan-board')?.shadowRoot;
    const touched = new Set();
    const seen = new MutationObserver((records) => {
      for (const { target } of records) {
        const element = target instanceof Element ? target : target.parentElement;
        const cell = element?.closest('[data-cell]');
        if (cell) touched.add(`${cell.closest('[data-market]')?.getAttribute('data-market')} ${cell.getAttribute('data-cell')} ${cell.textContent}`);
      }
    });
    const before = Object.fromEntries([...root.querySelectorAll('[data-market] [data-cell]')].map((cell) => [`${cell.closest('[data-market]')?.getAttribute('data-market')} ${cell.getAttribute('data-cell')}`, cell.textContent]));
    seen.observe(root, { subtree: true, childList: true, characterData: true });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    return { before, touched: [...touched] };
  });
  for (const entry of rows.touched) {
    const [market, cell, ...text] = entry.split(' ');
    if (market === 'undefined') continue;
    assert.ok(['last', 'change', 'word', 'base', 'mark'].includes(cell), `${entry} was ${rows.before[`${market} ${cell}`]}, now ${text}`);
  }
  await close();
});

test('an unknown attribute is reported in the console', async () => {
  const { url } = await serveThroughProxy('<sisepan-board board="krw" lang="ko" colour="red" class="x" data-y="z"></sisepan-board>');
  const context = await chrome.newContext();
  const page = await context.newPage();
  const logged = [];
  page.on('console', (message) => logged.push(`${message.type()} ${message.text()}`));
  await page.goto(url);
  await isLive(page);
  const about = logged.filter((text) => text.includes('colour'));
  assert.equal(about.length, 1);
  assert.match(about[0], /^warning .*sisepan-board.*colour.*board.*markets.*theme/);
  assert.ok(!/class|data-y/.test(about[0].split('known:')[0]));
  await context.close();
});

/** Returns the state and the rows of each widget of a page. */
const shown = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('*')].flatMap(({ shadowRoot }) => {
      const root = shadowRoot?.querySelector('.sisepan');
      if (!root) return [];
      const rows = [...root.querySelectorAll('[data-market]')].map((row) => [row.dataset.market, { state: row.dataset.state, last: row.querySelector('[data-cell="last"]').textContent }]);
      return [{ live: root.dataset.live, rows: Object.fromEntries(rows) }];
    }),
  );

test('a market removed from the server is not shown as live, and the others are updated', async () => {
  const boards = (markets) => `[[boards]]\nid = "krw"\nsource = "upbit"\nmarkets = ${JSON.stringify(markets)}\n`;
  const changingServer = stopLater(await server(exchanges, boards(['BTC-KRW', 'ETH-KRW', 'XRP-KRW'])));
  const widgets = '<sisepan-board board="krw" lang="en"></sisepan-board><sisepan-ticker board="krw" markets="XRP-KRW,BTC-KRW" lang="en"></sisepan-ticker>';
  const host = stopLater(await site(`<script type="module" src="${changingServer.url}/sisepan.js"></script>${widgets}`));
  const { page, close } = await visit(host.url);
  await until('both are live', async () => {
    const all = await shown(page);
    return (all.length === 2 && all.every(({ live, rows }) => live === 'on' && rows['XRP-KRW'].state === 'live')) || all;
  });
  await page.evaluate(() => (Math.random = () => 0.05));
  await changingServer.kill();
  await changingServer.restart(boards(['BTC-KRW', 'ETH-KRW']));
  await setPrice('BTC-KRW', 147_000_000);
  await until('the board has the remaining markets', async () => {
    const [board] = await shown(page);
    return (board.live === 'on' && Object.keys(board.rows).join() === 'BTC-KRW,ETH-KRW' && board.rows['BTC-KRW'].last === '147,000,000') || board;
  });
  await until('the ticker does not show it as live', async () => {
    const [, ticker] = await shown(page);
    return ticker.live !== 'on' || ticker.rows['XRP-KRW']?.state !== 'live' || ticker;
  });
  await close();
});

test('OUT-33 with some fallback requests delayed, no old price is shown as live', async () => {
  const markets = ['BTC-KRW', 'ETH-KRW', 'XRP-KRW'];
  const { proxy, url } = await serveThroughProxy(markets.map((market) => `<sisepan-ticker markets="${market}" lang="en"></sisepan-ticker>`).join('<br>'));
  proxy.rules.websocket = false;
  const { page, close } = await visit(url);
  await until('two use events and one is polled', async () => {
    const all = await shown(page);
    return (all.length === 3 && all.every(({ live }) => live === 'on') && proxy.count('/api/v1/events') === 2 && proxy.count('/api/v1/snapshot') > 0) || all;
  });
  // Which two use events depends on the order in which their fragments were loaded.
  const byEvents = markets.filter((market) => proxy.log.some(({ url: at }) => at.includes('/events') && at.includes(market)));
  const polled = markets.find((market) => !byEvents.includes(market));
  const [free, delayed] = byEvents;
  proxy.rules.held = (at) => (at.includes('/events') && at.includes(delayed)) || (at.includes('/snapshot') && at.includes(polled));
  const prices = { 'BTC-KRW': [150_000_000, '150,000,000'], 'ETH-KRW': [5_200_000, '5,200,000'], 'XRP-KRW': [3_300, '3,300'] };
  for (const market of markets) await setPrice(market, prices[market][0]);
  const widgetStates = async () => Object.fromEntries((await shown(page)).map((one, i) => [markets[i], one]));
  const live = (all, market) => all[market].live === 'on' && all[market].rows[market].last === prices[market][1];
  await until('the free one goes on, the delayed one is polled, the polled one is not live', async () => {
    const all = await widgetStates();
    return (live(all, free) && live(all, delayed) && all[polled].live === 'off') || { free, delayed, polled, all };
  });
  proxy.rules.held = () => false;
  await until('the polled one is live again', async () => {
    const all = await widgetStates();
    return live(all, polled) || all[polled];
  });
  // A poll that is delayed until after the WebSocket is back is aborted, and does not restore old prices.
  proxy.rules.held = (at) => at.includes('/snapshot');
  const polls = proxy.count('/api/v1/snapshot');
  await until('a poll is pending', async () => proxy.count('/api/v1/snapshot') > polls && proxy.waiting('/api/v1/snapshot') > 0);
  /** Ids of the subscriptions that were answered over the WebSocket. */
  const answered = new Set();
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => answered.add(JSON.parse(String(payload)).id)));
  proxy.rules.websocket = true;
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('all are live over the WebSocket', async () => markets.every((_, i) => answered.has(i + 1)) && Object.values(await widgetStates()).every(({ live }) => live === 'on'));
  await page.evaluate(() => {
    globalThis.changes = [];
    document.addEventListener('sisepan:live', ({ detail }) => globalThis.changes.push(detail.live));
  });
  // Newer prices must not hide the effect.
  proxy.rules.mute = true;
  await until('no poll is pending', async () => proxy.waiting('/api/v1/snapshot') === 0);
  const from = Date.now();
  await until('the state has been updated twice', async () => Date.now() - from > 2_500);
  assert.deepEqual(await page.evaluate(() => globalThis.changes), []);
  await close();
});

test('OUT-33 events that are delayed after a reconnect are replaced by polling', async () => {
  const { proxy, url } = await serveThroughProxy('<sisepan-ticker markets="BTC-KRW" lang="en"></sisepan-ticker>');
  proxy.rules.websocket = false;
  const { page, close } = await visit(url);
  await until('it is live over events', async () => (await shown(page))[0]?.live === 'on' && proxy.waiting('/api/v1/events') === 1);
  proxy.rules.held = (at) => at.includes('/events');
  const requests = proxy.count('/api/v1/events');
  proxy.drop();
  await until('the browser has reconnected', async () => proxy.count('/api/v1/events') > requests);
  await setPrice('BTC-KRW', 149_500_000);
  await shows(page, 'BTC-KRW', '149,500,000');
  await until('it is live again', async () => (await shown(page))[0].live === 'on');
  assert.ok(proxy.count('/api/v1/snapshot') > 0);
  await close();
});

test('the state of an exchange from before a disconnect is not shown after it', async () => {
  const changingServer = stopLater(await server(exchanges, '[[boards]]\nid = "krw"\nsource = "upbit"\nmarkets = ["BTC-KRW"]\n'));
  const proxy = stopLater(await startProxy(changingServer));
  const host = stopLater(await site(`<script type="module" src="${proxy.url}/sisepan.js"></script><sisepan-board board="krw" lang="en"></sisepan-board>`));
  const { page, close } = await visit(host.url);
  await isLive(page);
  const source = page.locator('[data-venue="upbit"]').first();
  for (const on of ['rest', 'stream']) await exchanges.fault({ venue: 'upbit', fault: 'status', status: 503, on });
  await until('the exchange is shown as down', async () => {
    const text = await source.textContent();
    return /unreachable/.test(text) || text;
  });
  await page.evaluate(() => (Math.random = () => 0.05));
  proxy.rules.down = true;
  proxy.cut();
  await changingServer.kill();
  await exchanges.clearFaults();
  await changingServer.restart();
  proxy.rules.down = false;
  await until('it is up', async () => {
    const text = await source.textContent();
    return (text === 'Upbit' && (await shown(page))[0].live === 'on') || text;
  });
  await close();
});

test('a widget in another window is live while that window is visible', async () => {
  const { proxy, url } = await serveThroughProxy('<sisepan-board board="krw" lang="ko"></sisepan-board><sisepan-movers lang="ko"></sisepan-movers>');
  const { page, close } = await visit(url);
  await isLive(page);
  const opens = page.waitForEvent('popup');
  await page.evaluate(() => {
    const other = globalThis.open('about:blank', '', 'width=400,height=600');
    other.document.body.append(...document.querySelectorAll('sisepan-board, sisepan-movers'));
  });
  const popup = await opens;
  await until('both are live', async () => (await shown(popup)).filter(({ live }) => live === 'on').length === 2);
  const requests = proxy.count('/fragment/movers');
  // The opener has been hidden for a long time.
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { get: () => true });
    const { now } = Date;
    Date.now = () => now() + 25_000;
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  });
  for (const [price, text] of [[148_000_000, '148,000,000'], [148_500_000, '148,500,000']]) {
    await setPrice('BTC-KRW', price);
    await shows(popup, 'BTC-KRW', text);
  }
  await until('the movers are reloaded', async () => proxy.count('/fragment/movers') > requests);
  assert.deepEqual((await shown(popup)).map(({ live }) => live), ['on', 'on']);
  await close();
});
