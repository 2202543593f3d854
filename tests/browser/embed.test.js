// Every widget in every way of embedding, in pages with adverse conditions.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import AxeBuilder from '@axe-core/playwright';
import { build } from 'esbuild';
import { fake, headlessShell, open, ready, server, until } from './harness.js';

const require = createRequire(import.meta.url);
const WIDGETS = ['board', 'tape', 'card', 'ticker', 'movers', 'chart'];
let exchanges, sisepan, chrome;
const sites = [];

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await headlessShell();
  await ready(sisepan);
  await until('there is a price history', async () => {
    const history = await (await fetch(`${sisepan.url}/api/v1/history/BTC-KRW?step=1h`)).json();
    return history.close.filter((close) => close !== null).length > 20;
  });
});

after(async () => {
  await chrome?.close();
  for (const one of sites) one.close();
  await sisepan?.stop();
  await exchanges?.stop();
});

/** Serves a host site with the given body, headers and files. */
async function site(body, headers = {}, more = {}) {
  const pages = http.createServer((request, answer) => {
    const file = more[request.url];
    for (const [name, value] of Object.entries(headers)) answer.setHeader(name, value);
    answer.setHeader('content-type', file ? 'text/javascript' : 'text/html; charset=utf-8');
    answer.end(file ?? `<!doctype html><html lang="ko"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Article</title>${body}`);
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  sites.push(pages);
  return `http://127.0.0.1:${pages.address().port}/`;
}

const script = () => `<script type="module" src="${sisepan.url}/sisepan.js"></script>`;
const element = (widget, more = '') => `<sisepan-${widget} lang="ko" ${more}><a href="/">시세</a></sisepan-${widget}>`;
const all = (more) => WIDGETS.map((widget) => element(widget, more)).join('\n');
const setPrice = (market, price) => Promise.all(['upbit', 'bithumb'].map((venue) => exchanges.price(venue, market, String(price))));
const tall = { viewport: { width: 700, height: 2600 } };
let next = 140_000_000;

/** Sets a new price for BTC-KRW, and waits until each of the views shows it. */
async function follows(views) {
  next += 1000;
  const text = next.toLocaleString('en-US');
  await setPrice('BTC-KRW', next);
  for (const view of views) {
    await until(`${text} is shown`, async () => {
      const shown = await view.locator('[data-market="BTC-KRW"] [data-cell="last"]').first().textContent();
      return shown === text || shown;
    });
  }
}

const ways = {
  'an element': async (widget) => [await site(script() + element(widget)), (page) => page.locator(`sisepan-${widget}`)],
  'a sandboxed frame': async (widget) => [
    await site(`${script()}<iframe src="${sisepan.url}/embed/${widget}?lang=ko" sandbox="allow-scripts" width="600" height="400" title="x"></iframe>`),
    (page) => page.frameLocator('iframe').locator('body'),
  ],
  'an include': async (widget) => [
    await site(`<link rel="stylesheet" href="${sisepan.url}/sisepan.css">${script()}${await (await fetch(`${sisepan.url}/fragment/${widget}?lang=ko`)).text()}`),
    (page) => page.locator('body'),
  ],
};

for (const widget of WIDGETS) {
  test(`${widget}: complete without script, live as an element, in a sandboxed frame and as an include`, async () => {
    const { page, close } = await open(chrome, `${sisepan.url}/embed/${widget}?lang=ko`, { javaScriptEnabled: false });
    assert.ok((await page.locator('[data-market] [data-cell="last"]').count()) > 0);
    assert.match(await page.locator('[data-market] [data-cell="last"]').first().textContent(), /^[\d,.]+$/);
    await close();
    if (widget === 'movers') await setPrice('BTC-KRW', 190_000_000);
    for (const [how, way] of Object.entries(ways)) {
      const [url, inside] = await way(widget);
      const { page, trouble, close } = await open(chrome, url, tall);
      const view = inside(page);
      await view.locator('.sisepan[data-live="on"]').first().waitFor({ state: 'attached' });
      if (widget !== 'movers') await follows([view]);
      assert.deepEqual(trouble, [], how);
      await close();
    }
  });
}

test('all widgets are live under a policy that allows this host only, and in cross-origin isolated pages', async () => {
  const { host } = new URL(sisepan.url);
  const policies = {
    csp: { 'content-security-policy': `default-src 'none'; script-src ${host}; style-src ${host}; connect-src ${host} ws://${host}; frame-src ${host}; img-src ${host}` },
    coep: { 'cross-origin-embedder-policy': 'require-corp', 'cross-origin-opener-policy': 'same-origin' },
  };
  for (const [what, headers] of Object.entries(policies)) {
    const frame = what === 'csp' ? `<iframe src="${sisepan.url}/embed/board?lang=ko" sandbox="allow-scripts" title="x"></iframe>` : '';
    const { page, trouble, close } = await open(chrome, await site(script() + all() + frame + `<img src="${sisepan.url}/badge/BTC-KRW.svg" alt="BTC">`, headers), tall);
    await until('all six are live', async () => {
      const live = await page.locator('.sisepan[data-live="on"]').count();
      return live === 6 || live;
    });
    assert.ok(await page.evaluate(() => document.images[0].complete && document.images[0].naturalWidth > 0), 'the badge is loaded');
    assert.deepEqual(trouble, [], what);
    await close();
  }
});

test('nothing overflows: right to left, 200 px wide, text at double size', async () => {
  const bodies = { rtl: [`<body dir="rtl">${all()}`, 700], narrow: [`<div style="width:200px">${all()}</div>`, 700], zoomed: [`<style>html{font-size:200%}</style>${all('size="inherit"')}`, 400] };
  for (const [what, [body, width]] of Object.entries(bodies)) {
    const { page, close } = await open(chrome, await site(script() + body), { viewport: { width, height: 3000 } });
    await until('all are there', async () => (await page.locator('.sisepan').count()) === 6);
    const over = await page.evaluate(() =>
      [...document.querySelectorAll('sisepan-board,sisepan-tape,sisepan-card,sisepan-movers,sisepan-chart')].flatMap((host) => {
        const limit = host.getBoundingClientRect();
        return [...host.shadowRoot.querySelectorAll('[data-cell="last"],[data-cell="change"],[data-cell="name"]')]
          .filter((cell) => !cell.closest('[data-track]') && cell.getClientRects().length)
          .filter((cell) => cell.getBoundingClientRect().right > limit.right + 1 || cell.getBoundingClientRect().left < limit.left - 1)
          .map((cell) => `${host.localName} ${cell.textContent}`);
      }),
    );
    assert.deepEqual(over, [], what);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${what}: the page is too wide`);
    await close();
  }
});

test('a frame that is too small scrolls, and its whole content can be reached', async () => {
  for (const widget of WIDGETS) {
    const frame = `<iframe src="${sisepan.url}/embed/${widget}?lang=ja&size=xl" sandbox="allow-scripts" width="200" height="60" title="x"></iframe>`;
    const { page, close } = await open(chrome, await site(frame), tall);
    const view = page.frameLocator('iframe');
    await view.locator('.sisepan[data-live="on"]').first().waitFor({ state: 'attached' });
    // With the mouse wheel, since a script can scroll what a visitor can't.
    await page.locator('iframe').hover();
    await until(`${widget} is scrolled to its end`, async () => {
      await page.mouse.wheel(0, 4000);
      const below = await view.locator('html').evaluate(() => Math.round(document.body.getBoundingClientRect().bottom) - innerHeight);
      return below <= 1 || below;
    });
    const beside = await view.locator('html').evaluate(() =>
      [...document.querySelectorAll('.sisepan :is([data-cell="last"],[data-cell="change"],[data-cell="name"],.plot)')]
        .filter((cell) => !cell.closest('[data-track]') && cell.getClientRects().length)
        .filter((cell) => cell.getBoundingClientRect().right > innerWidth + 1)
        .map((cell) => cell.outerHTML.slice(0, 90)),
    );
    assert.deepEqual(beside, [], widget);
    await close();
  }
});

test('a thousand new prices move nothing', async () => {
  const { page, close } = await open(chrome, await site(script() + element('board', 'interval="0"') + element('card', 'interval="0"')), tall);
  await until('both are live', async () => (await page.locator('.sisepan[data-live="on"]').count()) === 2);
  // Waits until this is painted, since the live indicator moves the time.
  await page.evaluate(() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))));
  await page.evaluate(() => {
    Object.assign(globalThis, { moved: [], rows: 0 });
    const described = ({ node, previousRect, currentRect }) => `${node?.nodeName} ${node?.parentElement?.outerHTML?.slice(0, 80)} ${JSON.stringify([previousRect, currentRect])}`;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => globalThis.moved.push(entry.value, ...entry.sources.map(described)))).observe({ type: 'layout-shift' });
    document.addEventListener('sisepan:row', () => globalThis.rows++);
  });
  const markets = ['BTC-KRW', 'ETH-KRW', 'XRP-KRW', 'SOL-KRW'];
  const bases = { 'BTC-KRW': 140_000_000, 'ETH-KRW': 5_000_000, 'XRP-KRW': 3_000, 'SOL-KRW': 220_000 };
  for (let n = 0; (await page.evaluate(() => globalThis.rows)) < 1000; n++) {
    await Promise.all(markets.map((market) => setPrice(market, bases[market] + n * (bases[market] > 1e6 ? 1000 : bases[market] > 1e5 ? 100 : 1))));
  }
  assert.deepEqual(await page.evaluate(() => globalThis.moved), []);
  await close();
});

test('a change of sign or of the number of digits moves nothing, neither in a widget nor in the sentence around it', async () => {
  const body = `${script()}<p>지금 ${element('ticker', 'markets="BTC-KRW"')}<b>, 어제보다.</b></p>${['tape', 'board', 'card'].map((widget) => element(widget, 'interval="0"')).join('')}`;
  const { page, close } = await open(chrome, await site(body), { ...tall, reducedMotion: 'reduce' });
  await until('all are live', async () => (await page.locator('.sisepan[data-live="on"]').count()) === 4);
  const painted = () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await painted();
  await page.evaluate(() => {
    globalThis.moved = [];
    new PerformanceObserver((list) => list.getEntries().forEach(({ value, sources }) => globalThis.moved.push(value, ...sources.map(({ node }) => `${node?.nodeName} ${node?.parentElement?.outerHTML?.slice(0, 80)}`)))).observe({ type: 'layout-shift' });
  });
  const { rows } = await (await fetch(`${sisepan.url}/api/v1/snapshot?markets=BTC-KRW`)).json();
  const base = Number(rows[0].change.base_price);
  /** Returns the x of the text after the ticker, and the distance of the second market of the tape from the first. */
  const at = async (percent, text) => {
    await setPrice('BTC-KRW', Math.round((base * (100 + percent)) / 100_000) * 1000);
    for (const widget of ['ticker', 'tape', 'board', 'card']) {
      await until(`${percent} % in a ${widget}`, async () => {
        const shown = await page.locator(`sisepan-${widget} [data-market="BTC-KRW"] [data-cell="change"]`).first().textContent();
        return text.test(shown) || shown;
      });
    }
    await painted();
    return page.evaluate(() => {
      const [first, second] = [...document.querySelector('sisepan-tape').shadowRoot.querySelectorAll('[data-market]')].map((coin) => coin.getBoundingClientRect().x);
      return { sentence: document.querySelector('b').getBoundingClientRect().x, tape: second - first };
    });
  };
  const rise = await at(3, /^\+[23]\./);
  const fall = await at(-3, /^-[23]\./);
  assert.ok(Math.abs(rise.sentence - fall.sentence) < 1, `in a sentence, ${rise.sentence} and ${fall.sentence}`);
  assert.equal(fall.tape, rise.tape);
  assert.deepEqual(await page.evaluate(() => globalThis.moved), []);
  // Another digit makes the sentence longer, and moves nothing else.
  assert.equal((await at(12, /^\+1[12]\./)).tape, rise.tape);
  await close();
});

test('axe finds nothing, on any page and any widget, light and dark', async () => {
  const paths = ['/?lang=ko', '/market/BTC-KRW?lang=en', '/widgets?ui=ko', '/widgets?ui=en&widget=chart', ...WIDGETS.map((widget) => `/embed/${widget}?lang=ko`), '/?board=nothing'];
  const found = [];
  for (const colorScheme of ['light', 'dark']) {
    for (const path of paths) {
      const { page, close } = await open(chrome, sisepan.url + path, { viewport: { width: 900, height: 900 }, colorScheme });
      await page.waitForTimeout(1200);
      // Embed pages are checked as pages of their own.
      const { violations } = await new AxeBuilder({ page }).exclude('iframe').analyze();
      for (const { id, nodes } of violations) found.push(`${colorScheme} ${path}: ${id} ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
      await close();
    }
  }
  assert.deepEqual(found, []);
});

test('the HTML checker finds no error in any page', async () => {
  const paths = ['/?lang=ko', '/?lang=en', '/market/BTC-KRW?lang=ja', '/widgets?ui=ko', '/widgets?ui=en&widget=chart', ...WIDGETS.map((widget) => `/embed/${widget}?lang=ko`), '/?board=nothing'];
  const jar = require.resolve('vnu-jar/build/dist/vnu.jar');
  const output = await promisify(execFile)('java', ['-jar', jar, '--errors-only', '--format', 'text', ...paths.map((path) => sisepan.url + path)]).then(() => '', ({ stderr }) => String(stderr));
  const errors = output.split('\n').filter((line) => /error/.test(line) && !/HTTP resource not retrievable/.test(line));
  assert.deepEqual(errors, []);
});

test('the snippets of the configurator work in an empty page, also with a pinned script', async () => {
  const { page, close } = await open(chrome, `${sisepan.url}/widgets?ui=ko&markets=ETH-KRW,BTC-KRW&theme=dark`, { viewport: { width: 1200, height: 900 } });
  const codes = {};
  for (const id of ['element', 'pinned', 'iframe', 'image']) codes[id] = await page.locator(`#code-${id}`).textContent();
  await close();
  assert.match(codes.element, /markets="ETH-KRW,BTC-KRW" theme="dark"/);
  assert.match(codes.pinned, /integrity="sha384-/);
  for (const id of ['element', 'pinned', 'iframe']) {
    const { page, trouble, close } = await open(chrome, await site(codes[id]), tall);
    await follows([id === 'iframe' ? page.frameLocator('iframe').locator('body') : page.locator('body')]);
    assert.deepEqual(trouble, [], id);
    await close();
  }
  const { page: images, close: done } = await open(chrome, await site(codes.image), tall);
  await until('the image is loaded', async () => images.evaluate(() => document.images[0].naturalWidth > 0));
  await done();
});

test('a pinned script that has been modified does not run', async () => {
  const pinned = await (await fetch(`${sisepan.url}/api/v1/script`)).json();
  const answer = await fetch(`${sisepan.url}/${pinned.file}`);
  assert.match(answer.headers.get('cache-control'), /immutable/);
  const wrong = pinned.integrity.replace(/.{6}$/, 'AAAAAA');
  const { page, close } = await open(chrome, await site(`<script type="module" src="${sisepan.url}/${pinned.file}" integrity="${wrong}" crossorigin></script>${element('board')}`), tall);
  await page.waitForTimeout(1000);
  assert.equal(await page.evaluate(() => customElements.get('sisepan-board') === undefined), true);
  assert.equal(await page.locator('sisepan-board a').textContent(), '시세');
  await close();
});

test('the React snippet works in a page that React renders', async () => {
  const { page, close } = await open(chrome, `${sisepan.url}/widgets?ui=en&markets=BTC-KRW&lang=ko&link=/coins/{base}`, tall);
  const code = await page.locator('#code-react').textContent();
  await close();
  const app = `${code}\nimport { createRoot } from 'react-dom/client';\nimport { StrictMode, createElement } from 'react';\ncreateRoot(document.getElementById('app')).render(createElement(StrictMode, null, createElement(Prices)));`;
  const made = await build({
    stdin: { contents: app, loader: 'jsx', resolveDir: new URL('.', import.meta.url).pathname },
    bundle: true, write: false, format: 'esm', jsx: 'automatic', define: { 'process.env.NODE_ENV': '"production"' },
  });
  const url = await site('<div id="app"></div><script type="module" src="/app.js"></script>', {}, { '/app.js': made.outputFiles[0].text });
  const { page: react, trouble, close: done } = await open(chrome, url, tall);
  await follows([react.locator('sisepan-board')]);
  assert.deepEqual(trouble, []);
  await done();
});

test('a page that switches its theme changes elements and frames as well', async () => {
  const { page, close } = await open(chrome, await site(`<style>html{color-scheme:light}html.night{color-scheme:dark}</style>${script()}${element('board')}<iframe src="${sisepan.url}/embed/board?lang=ko" sandbox="allow-scripts" title="x" width="400"></iframe>`), tall);
  const frame = page.frameLocator('iframe');
  await page.locator('sisepan-board .sisepan[data-live="on"]').waitFor();
  await frame.locator('.sisepan[data-live="on"]').waitFor();
  const grounds = async () => [
    await page.locator('sisepan-board .sisepan').evaluate((root) => getComputedStyle(root).backgroundColor),
    await frame.locator('.sisepan').evaluate((root) => getComputedStyle(root).backgroundColor),
  ];
  await until('both are light', async () => (await grounds()).every((color) => color === 'rgb(255, 255, 255)') || grounds());
  await page.evaluate(() => document.documentElement.classList.add('night'));
  await until('both are dark', async () => (await grounds()).every((color) => color === 'rgb(21, 23, 26)') || grounds());
  await close();
});

test('a tape is paused by button, pointer, focus and the preference for reduced motion', async () => {
  const url = await site(`${script()}<div style="width:300px">${element('tape')}</div>`);
  const { page, close } = await open(chrome, url, tall);
  const tape = page.locator('sisepan-tape .sisepan');
  const place = () => tape.evaluate((root) => root.querySelector('[data-track] > div')?.getBoundingClientRect().left ?? 0);
  const moves = async () => {
    const was = await place();
    await page.waitForTimeout(250);
    return (await place()) !== was;
  };
  // A pause takes effect with the next animation frame.
  const waitUntilPaused = () => until('it is paused', async () => !(await moves()));
  await page.mouse.move(690, 900);
  await until('it moves', moves);
  await page.locator('[data-pause]').focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('[data-pause]').getAttribute('aria-pressed'), 'true');
  await waitUntilPaused();
  await page.keyboard.press('Enter');
  await until('it moves again', moves);
  await page.locator('sisepan-tape').hover();
  await waitUntilPaused();
  await close();
  const { page: calm, close: done } = await open(chrome, url, { ...tall, reducedMotion: 'reduce' });
  await calm.locator('sisepan-tape .sisepan[data-live="on"]').waitFor();
  assert.equal(await calm.locator('sisepan-tape [aria-hidden="true"][data-market]').count(), 0);
  await done();
});

test('a chart is read out by keyboard and pointer', async () => {
  const { page, close } = await open(chrome, `${sisepan.url}/embed/chart?markets=BTC-KRW&lang=ko`, { viewport: { width: 600, height: 600 } });
  const slider = page.locator('input[type="range"]');
  await slider.focus();
  await page.keyboard.press('ArrowLeft');
  const first = await slider.getAttribute('aria-valuetext');
  assert.match(first, /^\d\d:\d\d {2}[\d,]+$/);
  await page.keyboard.press('PageDown');
  assert.notEqual(await slider.getAttribute('aria-valuetext'), first);
  const { x, y, width, height } = await slider.boundingBox();
  await page.mouse.move(x + width * 0.9, y + height / 2);
  assert.match(await page.locator('[data-probe]').textContent(), /\d\d:\d\d {2}[\d,]+/);
  await close();
});

test('a chart is read out by touch, and the page still scrolls', async () => {
  const { page, close } = await open(chrome, `${sisepan.url}/embed/chart?markets=BTC-KRW&lang=ko`, { viewport: { width: 320, height: 600 }, hasTouch: true, isMobile: true });
  const slider = page.locator('input[type="range"]');
  await slider.waitFor({ state: 'attached' });
  const { x, y, width, height } = await slider.boundingBox();
  const shown = async () => /\d\d:\d\d {2}[\d,]+/.exec(await page.locator('[data-probe]').textContent())?.[0];
  const seen = new Set();
  for (const at of [0.3, 0.8]) {
    await page.touchscreen.tap(x + width * at, y + height / 2);
    await until('the time and price under the finger are shown', async () => (await shown()) !== undefined && !seen.has(await shown()));
    seen.add(await shown());
  }
  assert.equal(seen.size, 2);
  assert.match(await slider.evaluate((input) => getComputedStyle(input).touchAction), /pan-y/);
  await close();
});

test('a fragment in a declarative shadow root is rendered before the script runs, and live afterwards', async () => {
  const inside = await (await fetch(`${sisepan.url}/fragment/board?lang=ko`)).text();
  const root = `<sisepan-board lang="ko"><template shadowrootmode="open"><link rel="stylesheet" href="${sisepan.url}/sisepan.css">${inside}</template></sisepan-board>`;
  const { page: still, close: done } = await open(chrome, await site(root), { ...tall, javaScriptEnabled: false });
  const size = (await still.locator('sisepan-board').boundingBox()).height;
  assert.ok(size > 300, `the rows are rendered without script: ${size}`);
  await done();
  const { page, trouble, close } = await open(chrome, 'about:blank', tall);
  const requested = [];
  page.on('request', (request) => requested.push(new URL(request.url()).pathname));
  await page.goto(await site(script() + root));
  await page.locator('sisepan-board .sisepan[data-live="on"]').first().waitFor({ state: 'attached' });
  await follows([page.locator('sisepan-board')]);
  assert.equal(await page.locator('sisepan-board .sisepan').count(), 1, 'one board, not two');
  assert.ok(!requested.includes('/fragment/board'), 'the existing fragment is not requested again');
  assert.deepEqual(trouble, []);
  await close();
});

test('changes are announced only on request', async () => {
  const { page, close } = await open(chrome, await site(script() + element('board', 'announce markets="BTC-KRW"')), tall);
  await page.locator('.sisepan[data-live="on"]').waitFor();
  await follows([page]);
  const region = page.locator('[role="status"]');
  assert.equal(await region.textContent(), '');
  await page.getByRole('button', { name: '가격 변동 읽어 주기' }).click();
  await until('it is announced', async () => /^비트코인 [\d,]+원 [\d.]+% (상승|하락|보합)/.test(await region.textContent()) || region.textContent());
  await close();
});
