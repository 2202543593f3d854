// How a page stays connected: one connection for all, resumed, paced, patient, and around what is blocked.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, fake, open, ready, server, site, until } from './harness.js';
import { front } from './front.js';

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

const keep = (one) => {
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

/** A page with a board of the server behind a front of its own. */
async function through(body = '<sisepan-board board="krw" lang="ko">시세</sisepan-board>') {
  const before = keep(await front(sisepan));
  const host = keep(await site(`<script type="module" src="${before.url}/sisepan.js"></script>${body}`));
  return { before, url: host.url };
}

/** Everything that a page says over its WebSockets. */
function overhear(page) {
  const said = [];
  const heard = [];
  page.on('websocket', (socket) => {
    socket.on('framesent', ({ payload }) => said.push(JSON.parse(String(payload))));
    socket.on('framereceived', ({ payload }) => heard.push(JSON.parse(String(payload))));
  });
  return { said, heard };
}

async function visit(url, options, script = undefined) {
  const context = await chrome.newContext({ viewport: { width: 400, height: 900 }, ...options });
  const page = await context.newPage();
  if (script) await page.addInitScript(script);
  const talk = overhear(page);
  await page.goto(url);
  return { page, ...talk, close: () => context.close() };
}

test('twelve widgets that ask for seven things have one connection, asked for at a pace that the server takes', async () => {
  const asks = ['', 'basis="utc-day"', 'basis="kst-day"', 'lang="en"', 'lang="ja"', 'markets="BTC-KRW"', 'markets="ETH-KRW,XRP-KRW"'];
  const elements = [...asks, ...asks.slice(0, 5)].map((ask) => `<sisepan-board board="krw" ${ask.includes('lang') ? '' : 'lang="ko"'} ${ask}></sisepan-board>`);
  const { before, url } = await through(elements.join(''));
  const { page, said, close } = await visit(url, { viewport: { width: 400, height: 8000 } }, () => {
    // When the page itself sends: what arrives here may have been held up on a busy machine.
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
  assert.equal(before.count('websocket'), 1);
  const asked = said.filter(({ type }) => type === 'subscribe');
  assert.equal(asked.length, 7);
  assert.equal(new Set(asked.map(({ id }) => id)).size, 7);
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
  assert.equal(before.count('websocket'), 1);
  await close();
});

test('a widget that leaves is not asked for any more, and the last one takes the connection with it', async () => {
  const { before, url } = await through('<sisepan-board id="a" board="krw" lang="ko"></sisepan-board><sisepan-board id="b" board="krw" lang="en"></sisepan-board>');
  const { page, said, close } = await visit(url, { viewport: { width: 400, height: 2000 } });
  await until('both are live', async () => (await page.locator('.sisepan[data-live="on"]').count()) === 2);
  await page.evaluate(() => document.getElementById('b')?.remove());
  await until('one is unsubscribed', async () => said.some(({ type, id }) => type === 'unsubscribe' && id === said.find(({ lang }) => lang === 'en').id));
  await page.evaluate(() => document.getElementById('a')?.remove());
  await until('nothing is connected', async () => before.open() === 0 || before.open());
  await page.evaluate(() => document.body.append(document.createElement('sisepan-board')));
  await isLive(page);
  await close();
});

test('OUT-07 a cut connection is taken up again where it was', async () => {
  const { before, url } = await through();
  const { page, said, heard, close } = await visit(url);
  await isLive(page);
  // The wait is random within 15 s; here it is short.
  await page.evaluate(() => (Math.random = () => 0.05));
  const { epoch } = heard.find(({ type }) => type === 'snapshot');
  before.cut();
  await setPrice('BTC-KRW', 141_234_000);
  await shows(page, 'BTC-KRW', '141,234,000');
  const again = said.filter(({ type }) => type === 'subscribe')[1];
  assert.equal(again.resume.epoch, epoch);
  assert.ok(again.resume.sequence > 0);
  assert.ok(heard.some((message) => message.recovered === true), 'the server continued from there');
  assert.equal(before.count('websocket'), 2);
  await close();
});

test('OUT-07 readers of a server that restarts come back at different times within 15 seconds', async () => {
  const { before, url } = await through();
  const { page, close } = await visit(url);
  await isLive(page);
  // The page's clock stands, so that what is planned can be seen.
  await page.evaluate(() => {
    const { setTimeout } = globalThis;
    Object.assign(globalThis, { waits: [] });
    Object.assign(globalThis, { setTimeout: (what, wait, ...more) => (globalThis.waits.push(wait), setTimeout(what, wait, ...more)) });
    Math.random = () => 0.9;
  });
  before.rules.down = true;
  before.cut();
  await until('the first wait is of 15 s at most', async () => {
    const waits = await page.evaluate(() => globalThis.waits);
    return waits.includes(0.9 * 15_000) || waits;
  });
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('the next is longer', async () => {
    const waits = await page.evaluate(() => globalThis.waits);
    return waits.includes(0.9 * 30_000) || waits;
  });
  // Each time that the page is online again, the next attempt fails.
  await until('three waits are of a minute', async () => {
    await page.evaluate(() => dispatchEvent(new Event('online')));
    const waits = await page.evaluate(() => globalThis.waits);
    return waits.filter((wait) => wait === 0.9 * 60_000).length >= 3 || waits;
  });
  const waits = await page.evaluate(() => globalThis.waits);
  assert.equal(Math.max(...waits), 0.9 * 60_000, 'never more than a minute');
  await close();
});

test('OUT-34 a page that comes out of the cache for back and forward is live again', async () => {
  const { before, url } = await through();
  const { page, close } = await visit(url);
  await isLive(page);
  await page.evaluate(() => addEventListener('pageshow', ({ persisted }) => (document.title = `persisted ${persisted}`)));
  await page.goto(url + '?elsewhere');
  await until('the first page let go', async () => before.open() === 1 || before.open());
  await page.goBack();
  await setPrice('XRP-KRW', 3_333);
  await shows(page, 'XRP-KRW', '3,333');
  await isLive(page);
  await close();
});

test('OUT-34 a connection that went mute while the page slept is made anew at once when the page is seen', async () => {
  const { before, url } = await through();
  const { page, close } = await visit(url);
  await isLive(page);
  before.rules.mute = true;
  // An hour of sleep, as the page's own clock has it.
  await page.evaluate(() => {
    const { now } = Date;
    Date.now = () => now() + 3_600_000;
  });
  before.rules.mute = false;
  const had = before.count('websocket');
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('there is a new one', async () => before.count('websocket') === had + 1);
  await close();
});

test('a hidden page lets go of its connection, and is live when it is seen again', async () => {
  const { before, url } = await through();
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
  await until('nothing is connected', async () => before.open() === 0);
  // Ten seconds after the last frame it does not look live either, to whom it is shown before anything else happens.
  await page.clock.runFor(11_000);
  await page.locator('.sisepan[data-live="off"]').waitFor();
  await hide(false);
  await setPrice('TRX-KRW', 444);
  await until('it is connected', async () => before.open() === 1);
  await page.clock.runFor(2_000);
  await shows(page, 'TRX-KRW', '444');
  await close();
});

test('OUT-33 where a server is gone, a board says so after ten seconds, with the age, and keeps its prices', async () => {
  const { before, url } = await through();
  const { page, close } = await visit(url);
  await isLive(page);
  before.rules.down = true;
  before.cut();
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

test('OUT-33 where WebSockets are blocked, events bring the prices; where those are too, asking does; and the WebSocket is tried again', async () => {
  const { before, url } = await through(
    ['ko', 'en', 'ja'].map((lang) => `<sisepan-board board="krw" lang="${lang}"></sisepan-board>`).join(''),
  );
  before.rules.websocket = false;
  const { page, close } = await visit(url, { viewport: { width: 400, height: 2500 } });
  const live = () => until('all three are live', async () => (await page.locator('.sisepan[data-live="on"]').count()) === 3);
  await live();
  assert.equal(before.count('/api/v1/events'), 2, 'two are listened to');
  assert.ok(before.count('/api/v1/snapshot') > 0, 'the third is asked for');
  await setPrice('ADA-KRW', 1_234);
  await until('all three have the price', async () => {
    const texts = await page.locator('[data-market="ADA-KRW"] [data-cell="last"]').allTextContents();
    return texts.every((text) => text === '1,234') || texts;
  });
  assert.ok(before.log.some(({ path, headers }) => path.endsWith('/snapshot') && headers['if-none-match']), 'asked with the ETag');
  before.rules.websocket = true;
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('the WebSocket is taken', async () => before.open() === 1);
  await until('nothing is asked any more', async () => {
    const asked = before.count('/api/v1/snapshot');
    await page.waitForTimeout(7_000);
    return before.count('/api/v1/snapshot') === asked;
  });
  await live();
  await close();
});

test('OUT-33 with WebSockets and events blocked, asking brings the prices', async () => {
  const { before, url } = await through();
  Object.assign(before.rules, { websocket: false, events: false });
  const { page, close } = await visit(url);
  await isLive(page);
  await setPrice('ADA-KRW', 1_235);
  await shows(page, 'ADA-KRW', '1,235');
  await close();
});

test('FC-24: what the server refuses is asked for once, and said', async () => {
  const { before, url } = await through();
  Object.assign(before.rules, { websocket: false, refused: true });
  const { page, close } = await visit(url);
  const errors = [];
  page.on('console', (line) => line.type() === 'error' && errors.push(line.text()));
  await until('the refusal is said', async () => errors.some((text) => text.includes('board has no "krw"')) || errors);
  await page.locator('.sisepan[data-live="off"]').waitFor();
  // The second question would come within 12 s.
  await page.waitForTimeout(13_000);
  assert.equal(before.count('/api/v1/snapshot'), 1);
  await close();
});

test('OUT-33 eight tabs are live over WebSockets; where only six connections are to be had, a tab without one says so', async () => {
  const { before, url } = await through();
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
  // What is left is HTTP/1.1, of which a browser opens six to a host; events keep theirs for as long as they are listened to.
  before.rules.websocket = false;
  before.cut();
  await setPrice('TRX-KRW', 446);
  const tells = async (page) => {
    const state = await page.locator('.sisepan').first().getAttribute('data-live');
    const price = await page.locator('[data-market="TRX-KRW"] [data-cell="last"]').first().textContent();
    return state === 'on' ? price : state;
  };
  await until('each tab is right, or says that it is not live', async () => {
    const told = await Promise.all(pages.map(tells));
    return (told.every((one) => one === '446' || one === 'off') && told.filter((one) => one === '446').length >= 5) || told;
  });
  await context.close();
});

test('a widget off screen is not written to, and has caught up when it is seen', async () => {
  const { url } = await through('<sisepan-board board="krw" lang="ko"></sisepan-board><div style="height:3000px"></div><sisepan-board id="below" board="krw" lang="ko"></sisepan-board>');
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
  await until('it has caught up', async () => (await page.locator('#below [data-market="SOL-KRW"] [data-cell="last"]').textContent()) === '222,200');
  await close();
});

test('only what changed is written', async () => {
  const { url } = await through();
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

test('an attribute that does not exist is told to whoever writes the page', async () => {
  const { url } = await through('<sisepan-board board="krw" lang="ko" colour="red" class="x" data-y="z"></sisepan-board>');
  const context = await chrome.newContext();
  const page = await context.newPage();
  const told = [];
  page.on('console', (message) => told.push(`${message.type()} ${message.text()}`));
  await page.goto(url);
  await isLive(page);
  const about = told.filter((text) => text.includes('colour'));
  assert.equal(about.length, 1);
  assert.match(about[0], /^warning .*sisepan-board.*colour.*board.*markets.*theme/);
  assert.ok(!/class|data-y/.test(about[0].split('it takes')[0]));
  await context.close();
});

/** What a page shows of markets, widget by widget. */
const shown = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('*')].flatMap(({ shadowRoot }) => {
      const root = shadowRoot?.querySelector('.sisepan');
      if (!root) return [];
      const rows = [...root.querySelectorAll('[data-market]')].map((row) => [row.dataset.market, { state: row.dataset.state, last: row.querySelector('[data-cell="last"]').textContent }]);
      return [{ live: root.dataset.live, rows: Object.fromEntries(rows) }];
    }),
  );

test('a market that the server has no more is not shown as live, and what it still has goes on', async () => {
  const boards = (markets) => `[[boards]]\nid = "krw"\nsource = "upbit"\nmarkets = ${JSON.stringify(markets)}\n`;
  const changing = keep(await server(exchanges, boards(['BTC-KRW', 'ETH-KRW', 'XRP-KRW'])));
  const widgets = '<sisepan-board board="krw" lang="en"></sisepan-board><sisepan-ticker board="krw" markets="XRP-KRW,BTC-KRW" lang="en"></sisepan-ticker>';
  const host = keep(await site(`<script type="module" src="${changing.url}/sisepan.js"></script>${widgets}`));
  const { page, close } = await visit(host.url);
  await until('both are live', async () => {
    const all = await shown(page);
    return (all.length === 2 && all.every(({ live, rows }) => live === 'on' && rows['XRP-KRW'].state === 'live')) || all;
  });
  await page.evaluate(() => (Math.random = () => 0.05));
  await changing.kill();
  await changing.again(boards(['BTC-KRW', 'ETH-KRW']));
  await setPrice('BTC-KRW', 147_000_000);
  await until('the board has what there is', async () => {
    const [board] = await shown(page);
    return (board.live === 'on' && Object.keys(board.rows).join() === 'BTC-KRW,ETH-KRW' && board.rows['BTC-KRW'].last === '147,000,000') || board;
  });
  await until('the ticker does not call it live', async () => {
    const [, ticker] = await shown(page);
    return ticker.live !== 'on' || ticker.rows['XRP-KRW']?.state !== 'live' || ticker;
  });
  await close();
});

test('OUT-33 where one detour is held up and another is not, no price of before looks live', async () => {
  const markets = ['BTC-KRW', 'ETH-KRW', 'XRP-KRW'];
  const { before, url } = await through(markets.map((market) => `<sisepan-ticker markets="${market}" lang="en"></sisepan-ticker>`).join('<br>'));
  before.rules.websocket = false;
  const { page, close } = await visit(url);
  await until('two come as events and one is asked for', async () => {
    const all = await shown(page);
    return (all.length === 3 && all.every(({ live }) => live === 'on') && before.count('/api/v1/events') === 2 && before.count('/api/v1/snapshot') > 0) || all;
  });
  // Which two come as events depends on whose fragment came first.
  const byEvents = markets.filter((market) => before.log.some(({ url: at }) => at.includes('/events') && at.includes(market)));
  const asked = markets.find((market) => !byEvents.includes(market));
  const [free, heldUp] = byEvents;
  before.rules.held = (at) => (at.includes('/events') && at.includes(heldUp)) || (at.includes('/snapshot') && at.includes(asked));
  const prices = { 'BTC-KRW': [150_000_000, '150,000,000'], 'ETH-KRW': [5_200_000, '5,200,000'], 'XRP-KRW': [3_300, '3,300'] };
  for (const market of markets) await setPrice(market, prices[market][0]);
  const look = async () => Object.fromEntries((await shown(page)).map((one, i) => [markets[i], one]));
  const live = (all, market) => all[market].live === 'on' && all[market].rows[market].last === prices[market][1];
  await until('one goes on, the one held up finds another way, the asked one does not claim to be live', async () => {
    const all = await look();
    return (live(all, free) && live(all, heldUp) && all[asked].live === 'off') || { free, heldUp, asked, all };
  });
  before.rules.held = () => false;
  await until('the asked one is live again', async () => {
    const all = await look();
    return live(all, asked) || all[asked];
  });
  // A question that is still held up when the WebSocket is back is given up, and takes no price back.
  before.rules.held = (at) => at.includes('/snapshot');
  const questions = before.count('/api/v1/snapshot');
  await until('it waits for an answer', async () => before.count('/api/v1/snapshot') > questions && before.waiting('/api/v1/snapshot') > 0);
  before.rules.websocket = true;
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await until('all are live over the WebSocket', async () => before.open() === 1 && Object.values(await look()).every(({ live }) => live === 'on'));
  await page.evaluate(() => {
    globalThis.told = [];
    document.addEventListener('sisepan:live', ({ detail }) => globalThis.told.push(detail.live));
  });
  // No newer price is to hide what happens.
  before.rules.mute = true;
  await until('nothing is waited for', async () => before.waiting('/api/v1/snapshot') === 0);
  const from = Date.now();
  await until('the clock has looked twice', async () => Date.now() - from > 2_500);
  assert.deepEqual(await page.evaluate(() => globalThis.told), []);
  await close();
});

test('OUT-33 events that are held up when the browser comes back to them are given up', async () => {
  const { before, url } = await through('<sisepan-ticker markets="BTC-KRW" lang="en"></sisepan-ticker>');
  before.rules.websocket = false;
  const { page, close } = await visit(url);
  await until('events bring it', async () => (await shown(page))[0]?.live === 'on' && before.waiting('/api/v1/events') === 1);
  before.rules.held = (at) => at.includes('/events');
  const asked = before.count('/api/v1/events');
  before.drop();
  await until('the browser is back', async () => before.count('/api/v1/events') > asked);
  await setPrice('BTC-KRW', 149_500_000);
  await shows(page, 'BTC-KRW', '149,500,000');
  await until('it is live again', async () => (await shown(page))[0].live === 'on');
  assert.ok(before.count('/api/v1/snapshot') > 0);
  await close();
});

test('the state of an exchange that was told before a break is not shown after it', async () => {
  const changing = keep(await server(exchanges, '[[boards]]\nid = "krw"\nsource = "upbit"\nmarkets = ["BTC-KRW"]\n'));
  const before = keep(await front(changing));
  const host = keep(await site(`<script type="module" src="${before.url}/sisepan.js"></script><sisepan-board board="krw" lang="en"></sisepan-board>`));
  const { page, close } = await visit(host.url);
  await isLive(page);
  const told = page.locator('[data-venue="upbit"]').first();
  for (const on of ['rest', 'stream']) await exchanges.fault({ venue: 'upbit', fault: 'status', status: 503, on });
  await until('it is told that the exchange is down', async () => {
    const text = await told.textContent();
    return /not reachable/.test(text) || text;
  });
  await page.evaluate(() => (Math.random = () => 0.05));
  before.rules.down = true;
  before.cut();
  await changing.kill();
  await exchanges.heal();
  await changing.again();
  before.rules.down = false;
  await until('it is up', async () => {
    const text = await told.textContent();
    return (text === 'Upbit' && (await shown(page))[0].live === 'on') || text;
  });
  await close();
});

test('a widget in another window is live as long as that one is seen', async () => {
  const { before, url } = await through('<sisepan-board board="krw" lang="ko"></sisepan-board><sisepan-movers lang="ko"></sisepan-movers>');
  const { page, close } = await visit(url);
  await isLive(page);
  const opens = page.waitForEvent('popup');
  await page.evaluate(() => {
    const other = globalThis.open('about:blank', '', 'width=400,height=600');
    other.document.body.append(...document.querySelectorAll('sisepan-board, sisepan-movers'));
  });
  const popup = await opens;
  await until('both are live', async () => (await shown(popup)).filter(({ live }) => live === 'on').length === 2);
  const asked = before.count('/fragment/movers');
  // The page that opened it goes to the background, and has been there for long.
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
  await until('the order is renewed', async () => before.count('/fragment/movers') > asked);
  assert.deepEqual((await shown(popup)).map(({ live }) => live), ['on', 'on']);
  await close();
});
