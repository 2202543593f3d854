// What we recommend, we measure: every snippet of README, docs and /widgets in a page of somebody else's.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { browser, demo, fake, ready, server, until } from './harness.js';

const PUBLIC = 'https://prices.example';
const WIDTHS = [390, 1000];
const LOCALES = { ko: 'ko-KR', en: 'en-US', ja: 'ja-JP' };
const DOCUMENTS = ['README.md', 'docs/embed.md', 'docs/widgets.md'];
/** What is chosen in the configurator: nothing, a language, and what changes the height. */
const WISHES = [
  ...['board', 'tape', 'card', 'ticker', 'movers', 'chart'].flatMap((widget) => [`widget=${widget}`, `widget=${widget}&lang=en`]),
  'widget=board&lang=ko&density=compact&size=l&title=off&credit=off', 'widget=board&lang=ja&columns=last,change,amount,high,low,volume&m=BTC-KRW&m=ETH-KRW&m=XRP-KRW', 'widget=tape&lang=ja&credit=on',
  'widget=card&m=BTC-KRW&m=ETH-KRW&m=XRP-KRW&m=SOL-KRW', 'widget=ticker&lang=ko&m=BTC-KRW&m=ETH-KRW&m=XRP-KRW', 'widget=movers&count=10&size=xl', 'widget=chart&span=7d&lang=ja', 'widget=board&size=inherit&theme=dark&transparent=on', 'widget=ticker&lang=en&size=xl',
];
const require = createRequire(import.meta.url);
let exchanges, sisepan, bare, chrome;
const sites = [];

before(async () => {
  exchanges = await fake();
  [sisepan, bare] = await Promise.all([server(exchanges, `public_url = "${PUBLIC}"`), server(exchanges)]);
  chrome = await browser();
  await Promise.all([ready(sisepan), ready(bare)]);
  await until('there is a past', async () => {
    const past = await (await fetch(`${sisepan.url}/api/v1/history/BTC-KRW?step=1h`)).json();
    return past.close.filter((close) => close !== null).length > 20;
  });
});

after(async () => {
  await chrome?.close();
  for (const one of sites) one.close();
  await Promise.all([sisepan?.stop(), bare?.stop()]);
  await exchanges?.stop();
});

async function site(body, headers = {}, files = {}) {
  const pages = http.createServer((ask, answer) => {
    const file = files[ask.url];
    for (const [name, value] of Object.entries(headers)) answer.setHeader(name, value);
    answer.setHeader('content-type', file ? 'text/javascript' : 'text/html; charset=utf-8');
    answer.end(file ?? `<!doctype html><html lang="ko"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Article</title><body><p>앞의 문단</p>${body}<p>뒤의 문단</p></body></html>`);
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  sites.push(pages);
  return `http://127.0.0.1:${pages.address().port}/`;
}

/** Runs so many at a time. */
async function each(items, run, most = 4) {
  const queue = [...items];
  await Promise.all(Array.from({ length: most }, async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await run(item);
  }));
}

/** The snippets of the configurator, as a reader copies them. */
async function made(from, wish, ui = 'ko') {
  const page = await (await fetch(`${from.url}/widgets?ui=${ui}&${wish}`)).text();
  const plain = (code) => code.replace(/&#(\d+);/g, (_, number) => String.fromCharCode(number));
  return [...page.matchAll(/<code id="code-([a-z]+)">([^]*?)<\/code>/g)].map(([, id, code]) => ({ id, where: `/widgets?${wish} ${id}`, code: plain(code) }));
}

/** The snippets of the documents: every block of HTML or JSX, and every tag in a line. */
async function written() {
  const { file, integrity } = await (await fetch(`${sisepan.url}/api/v1/script`)).json();
  const found = [];
  for (const name of DOCUMENTS) {
    const text = await readFile(new URL(`../../${name}`, import.meta.url), 'utf8');
    const blocks = [...text.matchAll(/```(html|jsx)\n([^]*?)```/g)].map(([, kind, code]) => [kind === 'jsx' ? 'react' : 'element', code]);
    const inline = [...text.replace(/```[^]*?```/g, '').matchAll(/`(<[^`]*prices\.example[^`]*>)`/g)].map(([, code]) => ['element', code]);
    assert.doesNotMatch(text.replace(/```[^]*?```/g, ''), /!\[[^\]]*\]\(https:\/\/prices\.example/, `${name}: an image without its size`);
    for (const [id, code] of [...blocks, ...inline]) {
      const own = code.replaceAll('https://prices.example.com', PUBLIC).replace(/sisepan-0123456789abcdef\.js/, file).replace('sha384-…', integrity).replace(/(href|src)="\/prices\//g, `$1="${PUBLIC}/`);
      found.push({ id, where: `${name}: ${code.trim().slice(0, 70)}`, code: own.replaceAll('/prices/', '/') });
    }
  }
  // A file that pins the script and nothing else holds no widget.
  return found.map((snippet) => (/<sisepan-|iframe|include|<img|function/.test(snippet.code) ? snippet : { ...snippet, code: `${snippet.code}<sisepan-tape style="display:block;min-height:4.1rem"></sisepan-tape>` }));
}

/** The body of a page that holds a snippet, with what a server or an editor puts in its place. */
async function placed({ id, code }) {
  if (id === 'wordpress') {
    const [address] = code.split('\n');
    const answer = await fetch(`${sisepan.url}/oembed?url=${encodeURIComponent(address)}&maxwidth=360`);
    assert.equal(answer.status, 200, address);
    return [(await answer.json()).html, {}];
  }
  if (id === 'react') return react(code);
  let body = code;
  for (const [include, path] of code.matchAll(/<!--# ?include virtual="([^"]*)" -->/g)) body = body.replace(include, await (await fetch(sisepan.url + path)).text());
  for (const [include, source] of code.matchAll(/<esi:include src="([^"]*)"[^>]*>/g)) body = body.replace(include, await (await fetch(source.replaceAll('&amp;', '&').replace(PUBLIC, sisepan.url))).text());
  // Words in a sentence stand in one.
  body = body.replace(/<span[^>]*><sisepan-ticker[^]*<\/span>/, '<p>지금 $&, 어제보다.</p>');
  return [body, {}];
}

/** A page that a server has rendered with React, and that React takes over. */
async function react(code) {
  const make = async (contents, platform) =>
    (await build({ stdin: { contents: code.replaceAll(PUBLIC, sisepan.url) + contents, loader: 'jsx', resolveDir: new URL('.', import.meta.url).pathname }, bundle: true, write: false, format: platform === 'node' ? 'cjs' : 'esm', platform, jsx: 'automatic', define: { 'process.env.NODE_ENV': '"production"' } })).outputFiles[0].text;
  const there = await make("\nimport { renderToString } from 'react-dom/server';\nimport { createElement } from 'react';\nexport const html = renderToString(createElement(Prices));", 'node');
  const module = { exports: {} };
  new Function('module', 'exports', 'require', there)(module, module.exports, require);
  const here = await make("\nimport { hydrateRoot } from 'react-dom/client';\nimport { createElement } from 'react';\nhydrateRoot(document.getElementById('app'), createElement(Prices));", 'browser');
  return [`<div id="app">${module.exports.html}</div><script type="module" src="/app.js"></script>`, { '/app.js': here }];
}

/** Runs in a page: `globalThis.moved` gets what moves, with its time. */
function noteShifts() {
  globalThis.moved = [];
  const { href } = location;
  const told = ({ node, previousRect: a, currentRect: b }) => `${node?.nodeName} ${node?.textContent?.trim().slice(0, 30)} ${[a.x, a.y, a.width, a.height]} → ${[b.x, b.y, b.width, b.height]}`;
  // A page is painted while it is still being parsed: a space that ends what is there by then has no place yet, and no ink. Five sources are all that is told.
  const visible = ({ sources }) => [0, 5].includes(sources.length) || sources.some(({ node }) => node?.nodeType !== Node.TEXT_NODE || node.textContent.trim());
  new PerformanceObserver((list) => list.getEntries().filter(visible).forEach((entry) => globalThis.moved.push({ at: entry.startTime, what: `${entry.value}: ${entry.sources.map(told).join('; ')} in ${href}` }))).observe({ type: 'layout-shift', buffered: true });
}

/** Opens a page with a cold cache, shows it before any script is there, and gives what moved until all is live. */
async function shifts(snippet, width, lang) {
  const [body, files] = await placed(snippet);
  const url = await site(body.replaceAll(PUBLIC, sisepan.url), {}, files);
  const context = await chrome.newContext({ viewport: { width, height: 1600 }, locale: LOCALES[lang] });
  try {
    const page = await context.newPage();
    await page.addInitScript(noteShifts);
    const painted = () => page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0, null);
    await page.route((asked) => asked.href.startsWith(sisepan.url) && /\.js$|\/fragment\//.test(asked.pathname), async (route) => {
      await painted();
      await route.continue();
    });
    await page.goto(url);
    // What has no script is there at once.
    const live = /sisepan[-0-9a-f]*\.js|\/app\.js/.test(body) ? '[data-live="on"]' : '';
    const views = [page.locator('.sisepan' + live)];
    if (body.includes('<iframe')) views.push(page.frameLocator('iframe').locator('.sisepan[data-live="on"]'));
    if (body.includes('<img')) views.push(page.locator('img[data-drawn]'));
    await until(`${snippet.where} is there`, async () => {
      await page.evaluate(() => [...document.images].forEach((image) => image.complete && image.naturalWidth > 0 && (image.dataset.drawn = '')));
      return (await Promise.all(views.map((view) => view.count()))).some((count) => count > 0);
    });
    // The modules of a widget add to it what only they can do.
    const [view] = body.includes('<iframe') ? [page.frameLocator('iframe')] : [page];
    if (/<sisepan-tape|embed\/tape|data-widget="tape"/.test(body)) await view.locator('[data-pause]:not([hidden])').first().waitFor({ state: 'attached' });
    if (/<sisepan-chart|embed\/chart|data-widget="chart"/.test(body)) await view.locator('input[type="range"]').first().waitFor({ state: 'attached' });
    // In a frame the browser counts from before its style sheet is there, when nothing of it has been painted yet.
    const settle = () => new Promise((resolve) => {
      const [painted] = parent === self ? [] : performance.getEntriesByName('first-contentful-paint');
      const seen = () => resolve(globalThis.moved.filter(({ at }) => at > (painted?.startTime ?? 0)).map(({ what }) => what));
      requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(seen)));
    });
    return (await Promise.all(page.frames().map((frame) => frame.evaluate(settle)))).flat();
  } finally {
    // A request that is still held up by then must not fail the file.
    await Promise.all(context.pages().map((page) => page.unrouteAll({ behavior: 'ignoreErrors' })));
    await context.close();
  }
}

test('FC-21: no snippet of README and docs shifts the page, with a cold cache at 390 and 1000 px', async () => {
  const snippets = await written();
  for (const what of ['<sisepan-board', '<iframe', 'include virtual', 'esi:include', 'integrity', '<img', 'useEffect']) assert.ok(snippets.some(({ code }) => code.includes(what)), `a snippet with ${what} is found`);
  const wrong = [];
  await each(snippets.flatMap((snippet) => WIDTHS.map((width) => [snippet, width])), async ([snippet, width]) => {
    for (const moved of await shifts(snippet, width, 'ko')) wrong.push(`${snippet.where} at ${width}: ${moved}`);
  });
  assert.deepEqual(wrong, []);
});

test('FC-21: no snippet of the configurator shifts the page, with a cold cache at 390 and 1000 px', { timeout: 1_200_000 }, async () => {
  const wrong = [];
  const ids = new Set();
  const plain = (wish) => /^widget=[a-z]+$/.test(wish);
  for (const [at, wish] of WISHES.filter((wish) => plain(wish) || wish.split('&').length > 2).entries()) {
    const every = await made(sisepan, wish);
    every.forEach(({ id }) => ids.add(id));
    // The others are made of the same parts.
    // A badge of shields.io is a picture of somebody else's.
    const snippets = every.filter(({ id }) => (plain(wish) ? id !== 'shields' : ['element', 'iframe', 'include'].includes(id)));
    const lang = wish.includes('lang=') ? 'ko' : ['ko', 'en', 'ja'][at % 3];
    await each(snippets.flatMap((snippet) => WIDTHS.map((width) => [snippet, width])), async ([snippet, width]) => {
      for (const moved of await shifts(snippet, width, lang)) wrong.push(`${snippet.where} at ${width} in ${lang}: ${moved}`);
    });
  }
  assert.deepEqual([...ids].sort(), ['element', 'esi', 'iframe', 'image', 'include', 'mail', 'pinned', 'react', 'shields', 'wordpress']);
  assert.deepEqual(wrong, []);
});

test('FC-21: nor at 200 to 300 px, nor with own colours, links to our pages or another size', { timeout: 1_200_000 }, async () => {
  const wrong = [];
  const wishes = ['widget=board', 'widget=tape', 'widget=card', 'widget=ticker', 'widget=ticker&lang=en', 'widget=ticker&lang=ja&size=xl', 'widget=ticker&lang=ko&m=BTC-KRW&m=ETH-KRW', 'widget=movers', 'widget=chart', 'widget=board&colors=c8202f-1a5fc8&link=market', 'widget=ticker&colors=c8202f-1a5fc8&link=market'];
  for (const [at, wish] of wishes.entries()) {
    // Without a public address, what a fragment names of ours is a path.
    const snippets = (await made(at % 2 ? bare : sisepan, wish)).filter(({ id }) => id === 'element' || (id === 'react' && wish === 'widget=ticker'));
    await each(snippets.flatMap((snippet) => [200, 250, 300].map((width) => [snippet, width])), async ([snippet, width]) => {
      const lang = ['ko', 'en', 'ja'][at % 3];
      for (const moved of await shifts(snippet, width, lang)) wrong.push(`${snippet.where} at ${width} in ${lang}: ${moved}`);
    });
  }
  assert.deepEqual(wrong, []);
});

test('FC-21: a widget of a page that arrives in parts is shown when it is whole, and does not move; a part that stays away holds it up for a second only', async () => {
  const CUTS = [/<th [^>]*data-col="change">/, /<span [^>]*data-cell="change">/, /(?<=<span [^>]*data-cell="change">)/, /(?<=data-market=[^]*)<span part="last"/];
  const cases = [];
  for (const widget of ['board', 'movers', 'tape', 'card', 'chart']) {
    const [own, piece] = await Promise.all(['embed', 'fragment'].map(async (kind) => (await fetch(`${bare.url}/${kind}/${widget}?lang=ko`)).text()));
    const other = `<!doctype html><html lang="ko"><meta charset="utf-8"><title>Article</title><link rel="stylesheet" href="../sisepan.css"><body><p>앞의 문단</p>${piece}<p>뒤의 문단</p></body></html>`;
    for (const [where, html] of [[`embed/${widget}`, own], [`fragment/${widget}`, other]]) {
      // In the middle, and where less than a cell is there.
      const found = [html.indexOf('<', (html.indexOf('data-widget') + html.length) / 2), ...CUTS.map((cut) => html.search(cut))].filter((at) => at > 0);
      for (const at of found) for (const width of WIDTHS) cases.push({ where: `${where} up to ${html.slice(at - 30, at)} at ${width}`, first: html.slice(0, at), rest: html.slice(at), width });
    }
  }
  assert.ok(cases.length > 60, `${cases.length} cases`);
  const wrong = [];
  await each([...cases, { ...cases[0], late: true }], async ({ where, first, rest, width, late }) => {
    let send;
    const wanted = new Promise((resolve) => (send = resolve));
    const parts = http.createServer(async (_, answer) => {
      answer.setHeader('content-type', 'text/html; charset=utf-8');
      answer.write(first.replace('<meta ', `<base href="${bare.url}/embed/"><meta `));
      await wanted;
      answer.end(rest);
    });
    await new Promise((resolve) => parts.listen(0, '127.0.0.1', resolve));
    sites.push(parts);
    const context = await chrome.newContext({ viewport: { width, height: 1600 }, locale: 'ko-KR' });
    const page = await context.newPage();
    await page.addInitScript(noteShifts);
    // On a busy machine the second that a widget waits for its rest could be over before the first part is painted.
    if (!late) await page.addInitScript(() => requestAnimationFrame(function stop() {
      for (const one of document.getAnimations()) if (one.animationName === 'sisepan-arriving') one.pause();
      requestAnimationFrame(stop);
    }));
    const frames = () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => resolve())))));
    await page.goto(`http://127.0.0.1:${parts.address().port}/`, { waitUntil: 'commit' });
    await page.locator('.sisepan').waitFor({ state: late ? 'visible' : 'attached' });
    await frames();
    if (!late && (await page.locator('.sisepan').isVisible())) wrong.push(`${where}: half of it is seen`);
    send();
    await page.waitForLoadState();
    await page.locator('.sisepan').waitFor();
    await frames();
    if (!late) for (const { what } of await page.evaluate(() => globalThis.moved)) wrong.push(`${where}: ${what}`);
    await context.close();
  });
  assert.deepEqual(wrong, []);
});

test('FC-21: a ticker with room takes one line of its sentence, and stands on it', async () => {
  for (const wish of ['widget=ticker', 'widget=ticker&lang=en', 'widget=ticker&lang=ja&m=SAND-KRW']) {
    const snippet = (await made(sisepan, wish)).find(({ id }) => id === 'element');
    const [body] = await placed(snippet);
    const context = await chrome.newContext({ viewport: { width: 700, height: 600 }, locale: 'ko-KR' });
    const page = await context.newPage();
    await page.goto(await site(body.replaceAll(PUBLIC, sisepan.url).replace(/, 어제보다/, '<b>, 어제보다</b>') + '<style>p { line-height: 1.6 }</style>'));
    await page.locator('.sisepan[data-live="on"]').waitFor();
    const boxes = await page.evaluate(() => [document.querySelector('sisepan-ticker').shadowRoot.querySelector('[data-cell="last"]'), document.querySelector('b')].map((one) => one.getBoundingClientRect()));
    assert.ok(Math.abs(boxes[0].bottom - boxes[1].bottom) < 1.5, `${wish}: on the same line (${boxes.map(({ bottom }) => bottom)})`);
    const [sentence, plain] = await page.evaluate(() => ['p:has(b)', 'p:first-child'].map((one) => document.querySelector(one).getBoundingClientRect().height));
    assert.ok(Math.abs(sentence - plain) < 1.5, `${wish}: one line (${sentence}, ${plain})`);
    await context.close();
  }
});

test('FC-21: what a fragment names of ours leads to this server from any page, a path of the publisher stays on his', async () => {
  const there = { link: 'market', own: '/coins/{base}', odd: '/market/{market}' };
  const body = Object.entries(there).map(([name, link]) => `<sisepan-board id="${name}" lang="ko" theme="light" markets="BTC-KRW" colors="010203-040506" link="${link}"></sisepan-board>`).join('');
  const url = await site(`<script type="module" src="${bare.url}/sisepan.js"></script>${body}<sisepan-movers lang="ko" link="market"></sisepan-movers>`);
  const context = await chrome.newContext({ viewport: { width: 390, height: 1600 } });
  const page = await context.newPage();
  const strange = [];
  page.on('request', (request) => request.url().startsWith(url) && request.url() !== url && !request.url().endsWith('favicon.ico') && strange.push(request.url()));
  await page.goto(url);
  const href = (name) => page.locator(`#${name} a`).first().evaluate((link) => link.href);
  await until('the boards are there', async () => (await page.locator('.sisepan[data-live="on"] a').count()) >= 3);
  assert.ok((await href('link')).startsWith(`${bare.url}/market/BTC-KRW?`), await href('link'));
  assert.equal(await href('own'), `${url}coins/BTC`);
  assert.equal(await href('odd'), `${url}market/BTC-KRW`);
  assert.ok((await page.locator('sisepan-movers a').first().evaluate((link) => link.href)).startsWith(`${bare.url}/market/`));
  // The colours are those of the publisher.
  await until('the colours are there', async () => (await page.locator('#link .sisepan').evaluate((root) => getComputedStyle(root).getPropertyValue('--up'))).includes('#010203'));
  assert.deepEqual(strange, []);
  await context.close();
});

/** Gives the heights of the frames of a page, of what they show, and of each row of movers, without any script, at each width. */
async function heights(body, widths, lang) {
  const context = await chrome.newContext({ viewport: { width: 1016, height: 1200 }, locale: LOCALES[lang], javaScriptEnabled: false });
  try {
    const page = await context.newPage();
    await page.goto(await site(body.replaceAll(PUBLIC, sisepan.url)));
    const frames = await page.locator('iframe').count();
    const found = [];
    for (const width of widths) {
      await page.setViewportSize({ width: width + 16, height: 1200 });
      for (let at = 0; at < frames; at++) {
        const frame = page.locator('iframe').nth(at);
        await frame.scrollIntoViewIfNeeded();
        const inside = frame.contentFrame().locator('html');
        await inside.locator('.sisepan').first().waitFor();
        const ofRow = await inside.locator('[data-widget="movers"] [data-market]').evaluateAll((rows) => rows.map((row) => row.getBoundingClientRect().height));
        found.push([width, (await frame.boundingBox()).height, (await inside.boundingBox()).height, ofRow]);
      }
    }
    return found;
  } finally {
    await context.close();
  }
}

test('FC-38: the height of every frame fits every width that it is offered for, in each language, without script', { timeout: 1_200_000 }, async () => {
  const wrong = [];
  const asked = WISHES.flatMap((wish) => (wish.includes('lang=') ? ['ko'] : Object.keys(LOCALES)).map((lang) => [wish, lang]));
  await each(asked, async ([wish, lang]) => {
    const { code } = (await made(sisepan, wish)).find(({ id }) => id === 'iframe');
    for (const [width, is, needs, ofRow] of await heights(code, [200, 240, 280, 320, 390, 480, 640, 1000], lang)) {
      if (needs > is) wrong.push(`${wish} at ${width} in ${lang}: ${is}, needed ${needs}`);
      // Room that nothing fills is a fault as well, but for movers that do not move at the moment.
      const absent = ofRow.length ? Math.max(0, (wish.includes('count=10') ? 11 : 10) - ofRow.length) * Math.max(...ofRow) : 0;
      if (is > (needs + absent) * 1.3 + 60) wrong.push(`${wish} at ${width} in ${lang}: ${is}, far more than the ${needs} and ${absent} that are needed`);
    }
  });
  for (const { where, code } of (await written()).filter(({ code }) => code.includes('<iframe'))) {
    for (const lang of Object.keys(LOCALES)) {
      for (const [, is, needs] of await heights(code, [390], lang)) if (needs > is) wrong.push(`${where} in ${lang}: ${is}, needed ${needs}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('FC-38: so do the frames of the demo, which says that it is one', async () => {
  const shown = await demo();
  try {
    await ready(shown);
    const wrong = [];
    await each(WISHES.slice(0, 12).flatMap((wish) => (wish.includes('lang=') ? ['ko'] : Object.keys(LOCALES)).map((lang) => [wish, lang])), async ([wish, lang]) => {
      const { code } = (await made(shown, wish)).find(({ id }) => id === 'iframe');
      for (const [width, is, needs] of await heights(code, [200, 230, 280, 390], lang)) {
        if (needs > is) wrong.push(`${wish} at ${width} in ${lang}: ${is}, needed ${needs}`);
        if (is > needs * 1.3 + 60) wrong.push(`${wish} at ${width} in ${lang}: ${is}, far more than the ${needs} that are needed`);
      }
    });
    assert.deepEqual(wrong, []);
  } finally {
    await shown.stop();
  }
});

test('FC-38: so does the height that oEmbed answers, at every width that it is asked for', async () => {
  const wrong = [];
  const widths = [200, 280, 320, 480, 640];
  await each(WISHES.flatMap((wish) => Object.keys(LOCALES).map((lang) => [wish, lang])), async ([wish, lang]) => {
    const [address] = (await made(sisepan, wish)).find(({ id }) => id === 'wordpress').code.split('\n');
    const url = address.includes('lang=') ? address : `${address}${address.includes('?') ? '&' : '?'}lang=${lang}`;
    const answers = await Promise.all(widths.map(async (width) => (await fetch(`${sisepan.url}/oembed?url=${encodeURIComponent(url)}&maxwidth=${width}`)).json()));
    const found = await heights(answers.map(({ html }) => `<p>${html}</p>`).join(''), [700], lang);
    found.forEach(([, is, needs], at) => needs > is && wrong.push(`${wish} at ${widths[at]} in ${lang}: ${is}, needed ${needs}`));
  });
  assert.deepEqual(wrong, []);
});

test('FC-26: frames and pictures come into a page that is isolated from other origins, scripts and styles too', async () => {
  const isolated = { 'cross-origin-embedder-policy': 'require-corp', 'cross-origin-opener-policy': 'same-origin' };
  for (const wish of ['widget=board', 'widget=tape', 'widget=card', 'widget=ticker', 'widget=movers', 'widget=chart', 'widget=board&colors=c8202f-1a5fc8']) {
    for (const snippet of (await made(sisepan, wish)).filter(({ id }) => !['react', 'esi', 'shields'].includes(id))) {
      const [body, files] = await placed(snippet);
      const context = await chrome.newContext({ viewport: { width: 700, height: 1200 } });
      const page = await context.newPage();
      const refused = [];
      page.on('requestfailed', (request) => refused.push(`${request.url()}: ${request.failure()?.errorText}`));
      // A fragment names whole addresses of its own.
      await page.route(`${PUBLIC}/**`, async (route) => route.fulfill({ response: await route.fetch({ url: route.request().url().replace(PUBLIC, sisepan.url) }) }));
      await page.goto(await site(body.replaceAll(PUBLIC, sisepan.url), isolated, files));
      assert.equal(await page.evaluate(() => crossOriginIsolated), true);
      const view = body.includes('<iframe') ? page.frameLocator('iframe') : page;
      if (['image', 'mail'].includes(snippet.id)) await until('the picture is drawn', async () => page.evaluate(() => document.images[0].naturalWidth > 0));
      else await view.locator('.sisepan[data-live="on"]').first().waitFor({ state: 'attached' }).catch(() => refused.push('it is not there'));
      assert.deepEqual(refused, [], snippet.where);
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      await context.close();
    }
  }
  // A refusal is a page as well, and must not look like a network that is down.
  const { page, close } = await (async () => {
    const context = await chrome.newContext();
    return { page: await context.newPage(), close: () => context.close() };
  })();
  await page.goto(await site(`<iframe src="${sisepan.url}/embed/board?count=x" sandbox="allow-scripts" title="x"></iframe>`, isolated));
  await page.frameLocator('iframe').locator('main.error').waitFor();
  await close();
});

test('FC-33: every address that the configurator offers answers, with a public address and without', async () => {
  for (const from of [sisepan, bare]) {
    for (const wish of WISHES.slice(0, 12)) {
      const snippets = await made(from, wish, 'en');
      assert.equal(snippets.some(({ id }) => id === 'wordpress'), from === sisepan, 'oEmbed is offered where it answers');
      for (const { id, where, code } of snippets) {
        const home = from === sisepan ? PUBLIC : from.url;
        // What shields.io is told to ask for, and where the badge leads.
        const told = id === 'shields' ? code.replace(/^.*\?url=([^)]*)\)\]\((.*)\)$/, (_, asked, page) => `${decodeURIComponent(asked)} ${page}`) : code;
        const plain = told.replaceAll('&amp;', '&').replaceAll(PUBLIC, home);
        const addresses = [...plain.matchAll(/https?:\/\/[^\s"'<>*]+/g)].map(([address]) => address.replace(home, from.url));
        addresses.push(...[...plain.matchAll(/virtual="([^"]*)"/g)].map(([, path]) => from.url + path));
        for (const address of addresses) {
          const asked = address.endsWith('/oembed') ? `${address}?url=${encodeURIComponent(`${home}/embed/board`)}` : address;
          if (asked.endsWith('/')) continue;
          assert.equal((await fetch(asked)).status, 200, `${where}: ${asked}`);
        }
        assert.ok(addresses.length > 0, where);
      }
    }
  }
});
