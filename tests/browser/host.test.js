// Widgets in host pages: their policies, and the DOM operations of their frameworks.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import http from 'node:http';
import { TIMEOUT_MS, browser, fake, open, ready, server, until } from './harness.js';
import { startProxy } from './front.js';

const WIDGETS = ['board', 'tape', 'card', 'ticker', 'movers', 'chart'];
let exchanges, sisepan, chrome;
const opened = [];

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await browser();
  await ready(sisepan);
  await until('there is a price history', async () => {
    const history = await (await fetch(`${sisepan.url}/api/v1/history/BTC-KRW?step=1h`)).json();
    return history.close.filter((close) => close !== null).length > 20;
  });
});

after(async () => {
  await chrome?.close();
  for (const one of opened) await one.stop();
  await sisepan?.stop();
  await exchanges?.stop();
});

/** Serves a host site. */
async function site(body, headers = {}) {
  const pages = http.createServer((_, answer) => {
    for (const [name, value] of Object.entries(headers)) answer.setHeader(name, value);
    answer.setHeader('content-type', 'text/html; charset=utf-8');
    answer.end(`<!doctype html><html lang="ko"><meta charset="utf-8"><title>Article</title>${body}`);
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  opened.push({ stop: () => new Promise((resolve) => pages.close(resolve).closeAllConnections()) });
  return `http://127.0.0.1:${pages.address().port}/`;
}

const script = (at = sisepan.url) => `<script type="module" src="${at}/sisepan.js"></script>`;
const element = (widget, more = 'lang="ko"') => `<sisepan-${widget} ${more}><a href="/">시세</a></sisepan-${widget}>`;
const tall = { viewport: { width: 700, height: 3000 } };
const live = (page, count = 1) =>
  until(`${count} are live`, async () => {
    const found = await page.locator('.sisepan[data-live="on"]').count();
    return found === count || `${found}: ${await page.evaluate(() => [...document.querySelectorAll('*')].filter((it) => it.localName.startsWith('sisepan')).map((it) => it.outerHTML + (it.shadowRoot?.firstElementChild?.outerHTML.slice(0, 400) ?? '-')).join())}`;
  });

const POLICIES = {
  'no policy allowed': "require-trusted-types-for 'script'; trusted-types 'none'",
  'any policy allowed': "require-trusted-types-for 'script'",
};

for (const [what, policy] of Object.entries(POLICIES)) {
  test(`FC-22: under Trusted Types (${what}) every widget appears, as an element and as a fragment, and is reloaded`, async () => {
    const includes = await Promise.all(['board', 'chart'].map(async (widget) => (await fetch(`${sisepan.url}/fragment/${widget}?lang=ko`)).text()));
    const url = await site(`<link rel="stylesheet" href="${sisepan.url}/sisepan.css">${script()}${WIDGETS.map((widget) => element(widget, 'lang="ko" announce')).join('')}${includes.join('')}`, { 'content-security-policy': policy });
    const context = await chrome.newContext(tall);
    const page = await context.newPage();
    const trouble = [];
    page.on('pageerror', (error) => trouble.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
    await page.goto(url);
    await live(page, 8);
    const renewed = page.waitForResponse((answer) => answer.url().includes('/fragment/movers') && answer.ok());
    await page.evaluate(() => Object.assign(globalThis, { renewals: 0 }) && document.querySelector('sisepan-movers').addEventListener('sisepan:renew', () => globalThis.renewals++));
    await renewed;
    await until('the movers are reloaded', async () => (await page.evaluate(() => globalThis.renewals)) > 0);
    await page.evaluate(() => document.querySelectorAll('sisepan-board,sisepan-card').forEach((it) => it.setAttribute('lang', 'en')));
    await until('another language is shown', async () => (await page.locator(':is(sisepan-board,sisepan-card) .sisepan[lang="en"]').count()) === 2);
    assert.deepEqual(trouble, []);
    assert.equal(await page.evaluate(() => {
      try {
        new DOMParser().parseFromString('<p>', 'text/html');
        return 'a string is parsed';
      } catch {
        return 'refused';
      }
    }), 'refused', 'the policy is in force');
    await context.close();
  });
}

test('FC-22: the pages of this server require Trusted Types, and work under them', async () => {
  for (const path of ['/', '/widgets', '/market/BTC-KRW', '/embed/board', '/embed/chart', '/nothing-here', '/?board=nope']) {
    const answer = await fetch(sisepan.url + path, { headers: { accept: 'text/html' } });
    const policy = answer.headers.get('content-security-policy') ?? '';
    if (answer.headers.get('content-type')?.includes('html')) assert.match(policy, /require-trusted-types-for 'script'.*trusted-types 'none'/, path);
    await answer.text();
  }
  const { page, trouble, close } = await open(chrome, `${sisepan.url}/market/BTC-KRW?lang=ko`, tall);
  await live(page);
  for (const venue of ['upbit', 'bithumb']) await exchanges.price(venue, 'BTC-KRW', '141234000');
  await until('the market page is updated', async () => {
    const fingerprint = await page.locator('.told').getAttribute('data-said');
    return fingerprint.startsWith('141234000|') || fingerprint;
  });
  await page.goto(`${sisepan.url}/widgets?ui=ko`);
  await page.locator('input[name="widget"][value="chart"]').check();
  await until('the configurator updates the code', async () => (await page.locator('#code-element').textContent()).includes('sisepan-chart'));
  assert.deepEqual(trouble, []);
  await close();
});

test('FC-22: a widget whose reload fails is not live, until a reload succeeds', async () => {
  const proxy = await startProxy(sisepan);
  opened.push(proxy);
  const { page, close } = await open(chrome, await site(script(proxy.url) + element('movers')), tall);
  await live(page);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Network.enable');
  await cdp.send('Network.setBlockedURLs', { urls: ['*/fragment/*'] });
  const is = (state) => until(`it is ${state}`, async () => {
    const found = await page.locator('.sisepan').getAttribute('data-live');
    return found === state || found;
  });
  await is('off');
  assert.equal(proxy.open(), 1, 'the stream continues, only the reload fails');
  await cdp.send('Network.setBlockedURLs', { urls: [] });
  await is('on');
  // A changed attribute whose content can't be loaded: the displayed content does not match it.
  await cdp.send('Network.setBlockedURLs', { urls: ['*/fragment/*'] });
  await page.evaluate(() => document.querySelector('sisepan-movers').setAttribute('lang', 'en'));
  await is('off');
  await cdp.send('Network.setBlockedURLs', { urls: [] });
  await page.locator('.sisepan[lang="en"][data-live="on"]').waitFor();
  await close();
});

test('FC-24: attributes that change before the first response, or after an error, take effect', async () => {
  const { page, close } = await open(chrome, await site(script()), tall);
  await page.waitForFunction(() => customElements.get('sisepan-board'));
  const lang = (value) => page.locator(`sisepan-board .sisepan[lang="${value}"][data-live="on"]`).waitFor();
  await page.evaluate(() => {
    const board = document.createElement('sisepan-board');
    board.setAttribute('lang', 'ko');
    board.textContent = 'fallback';
    document.body.append(board);
    setTimeout(() => board.setAttribute('lang', 'en'), 1);
  });
  await lang('en');
  await page.evaluate(() => document.querySelector('sisepan-board').setAttribute('board', 'nope'));
  await until('the widget is replaced by the fallback', async () => {
    const [count, box] = [await page.locator('sisepan-board .sisepan').count(), await page.evaluate(() => document.createRange().constructor && document.querySelector('sisepan-board').innerText)];
    return (count === 0 && box === 'fallback') || `${count} ${box}`;
  });
  await page.evaluate(() => document.querySelector('sisepan-board').setAttribute('board', 'krw'));
  await lang('en');
  // An error from the start.
  const refused = page.waitForResponse((answer) => answer.url().includes('nope'));
  await page.evaluate(() => {
    document.querySelector('sisepan-board').remove();
    const board = document.createElement('sisepan-board');
    board.setAttribute('board', 'nope');
    board.setAttribute('lang', 'ko');
    document.body.append(board);
  });
  await refused;
  await page.evaluate(() => document.querySelector('sisepan-board').setAttribute('board', 'krw'));
  await lang('ko');
  // A fragment inside its element also follows the attributes.
  const inside = await (await fetch(`${sisepan.url}/fragment/board?lang=ko`)).text();
  await page.evaluate((html) => {
    document.querySelector('sisepan-board').remove();
    const held = document.createElement('template');
    held.innerHTML = `<sisepan-board lang="ko">${html}</sisepan-board>`;
    document.body.append(held.content);
  }, inside);
  await lang('ko');
  await page.evaluate(() => document.querySelector('sisepan-board').setAttribute('lang', 'ja'));
  await lang('ja');
  await page.evaluate(() => document.querySelector('sisepan-board').toggleAttribute('announce'));
  await page.locator('sisepan-board .announce').waitFor();
  await page.evaluate(() => document.querySelector('sisepan-board').toggleAttribute('announce'));
  await until('the button is gone', async () => (await page.locator('sisepan-board .announce').count()) === 0);
  await close();
});

/** Counts the timers, animations and observers of a page. Runs before its scripts. */
function count() {
  const held = { timers: new Set(), animations: new Set(), resizes: new Set(), mutations: new Set(), seen: new Set() };
  Object.assign(globalThis, { held });
  for (const kind of ['Timeout', 'Interval']) {
    const [set, clear] = [globalThis['set' + kind], globalThis['clear' + kind]];
    globalThis['set' + kind] = (run, ms, ...more) => {
      const id = set((...all) => {
        if (kind === 'Timeout') held.timers.delete(id);
        run(...all);
      }, ms, ...more);
      held.timers.add(id);
      return id;
    };
    globalThis['clear' + kind] = (id) => {
      held.timers.delete(id);
      clear(id);
    };
  }
  const { animate } = Element.prototype;
  Element.prototype.animate = function (...all) {
    const made = animate.apply(this, all);
    // Weak references, since strong ones would keep the animated elements alive.
    if (made) held.animations.add(new WeakRef(made));
    return made;
  };
  for (const [name, kept] of [['ResizeObserver', held.resizes], ['MutationObserver', held.mutations]]) {
    globalThis[name] = class extends globalThis[name] {
      observe(...all) {
        kept.add(this);
        super.observe(...all);
      }
      disconnect() {
        kept.delete(this);
        super.disconnect();
      }
    };
  }
  globalThis.IntersectionObserver = class extends IntersectionObserver {
    observe(target) {
      held.seen.add(target);
      super.observe(target);
    }
    unobserve(target) {
      held.seen.delete(target);
      super.unobserve(target);
    }
  };
}

/** Opens a page with these counters. */
async function counted(url) {
  const context = await chrome.newContext(tall);
  const page = await context.newPage();
  const [asked, sockets, trouble] = [new Set(), new Set(), []];
  let requests = 0;
  page.on('request', (request) => asked.add(request) && requests++);
  for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => asked.delete(request));
  page.on('websocket', (socket) => sockets.add(socket) && socket.on('close', () => sockets.delete(socket)));
  page.on('pageerror', (error) => trouble.push(String(error)));
  await page.addInitScript(count);
  await page.goto(url);
  const cdp = await context.newCDPSession(page);
  const counts = async () => {
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    for (let times = 0; times < 3; times++) await cdp.send('HeapProfiler.collectGarbage');
    const { nodes, jsEventListeners } = await cdp.send('Memory.getDOMCounters');
    const inside = await page.evaluate(() => {
      const tree = (at) => 1 + [...at.childNodes, ...(at.shadowRoot ? [at.shadowRoot] : [])].reduce((sum, it) => sum + tree(it), 0);
      const { timers, animations, resizes, mutations, seen } = globalThis.held;
      return {
        tree: tree(document.body),
        timers: timers.size,
        // Only endless animations: the highlight of a price ends after a second.
        animations: [...animations].map((it) => it.deref()).filter((it) => it && it.playState !== 'idle' && it.playState !== 'finished' && it.effect?.getTiming().iterations === Infinity).length,
        resizes: resizes.size,
        mutations: mutations.size,
        seen: seen.size,
      };
    });
    return { ...inside, nodes, listeners: jsEventListeners, requests: asked.size, sockets: sockets.size };
  };
  return { page, counts, trouble, requests: () => requests, close: () => context.close() };
}

/** Compares counts, with tolerances for what depends on price updates, such as highlights. */
function alike(found, fresh) {
  const near = (name, more) => found[name] <= fresh[name] + more;
  const same = ['tree', 'animations', 'resizes', 'mutations', 'seen', 'requests', 'sockets'].every((name) => found[name] === fresh[name]);
  return (same && near('timers', 1) && near('nodes', 400) && near('listeners', 4)) || JSON.stringify({ found, fresh });
}

test('FC-24: a widget appears whatever its fallback content is', async () => {
  const { page, close } = await open(chrome, await site(script()), tall);
  await page.evaluate(() => {
    const wrapper = document.createElement('div');
    wrapper.attachShadow({ mode: 'open' }).innerHTML = '<sisepan-board lang="ko"><slot>fallback</slot></sisepan-board>';
    wrapper.textContent = 'passed through';
    const own = document.createElement('sisepan-card');
    own.innerHTML = '<div class="sisepan">a class of the page</div>';
    document.body.append(wrapper, own);
  });
  await live(page, 2);
  await close();
});

test('FC-22: an error of a proxy is retried', async () => {
  const proxy = await startProxy(sisepan);
  opened.push(proxy);
  for (const status of [403, 404, 408]) {
    proxy.rules.status = status;
    const { page, close } = await open(chrome, await site(script(proxy.url) + element('card') + element('movers')), tall);
    await until('each request has failed', async () => proxy.log.filter(({ path }) => path.includes('/fragment/')).length >= 2);
    proxy.rules.status = 0;
    await live(page, 2);
    await close();
    proxy.log.length = 0;
  }
});

test('FC-23: moving a widget in the DOM leaks nothing, and its pause button works', async () => {
  const url = await site(`<div id="app" style="width:300px">${element('tape')}</div>${script()}`);
  const { page, counts, trouble, requests, close } = await counted(url);
  await live(page);
  const moving = () => until('it moves', async () => (await page.locator('[data-moving]').count()) === 1);
  await moving();
  const fresh = await counts();
  const asked = requests();
  await page.evaluate(async () => {
    const tape = document.querySelector('sisepan-tape');
    for (let n = 0; n < 30; n++) {
      const around = document.createElement('div');
      tape.before(around);
      around.append(tape);
      // In one task, in two, and after an animation frame.
      if (n % 3 === 1) await new Promise((resolve) => setTimeout(resolve));
      if (n % 3 === 2) await new Promise((resolve) => requestAnimationFrame(resolve));
      around.replaceWith(tape);
      if (n % 2) {
        tape.remove();
        await new Promise((resolve) => setTimeout(resolve, 20));
        document.querySelector('#app').append(tape);
      }
    }
  });
  await live(page);
  await moving();
  await until('nothing is leaked', async () => alike(await counts(), fresh));
  assert.equal(requests(), asked, 'a move sends no request');
  await page.locator('[data-pause]').click();
  await page.mouse.move(690, 2900);
  await until('the pause works', async () => {
    const states = await page.evaluate(() => [...globalThis.held.animations].map((it) => it.deref()).filter((it) => it?.effect?.getTiming().iterations === Infinity && it.playState !== 'idle').map((it) => it.playState));
    return states.join() === 'paused' || states.join();
  });
  // A pause survives a move.
  await page.evaluate(async () => {
    const tape = document.querySelector('sisepan-tape');
    tape.remove();
    await new Promise((resolve) => setTimeout(resolve, 20));
    document.querySelector('#app').append(tape);
  });
  await moving();
  assert.equal(await page.locator('[data-pause]').getAttribute('aria-pressed'), 'true');
  const running = () => page.evaluate(() => [...globalThis.held.animations].map((it) => it.deref()).filter((it) => it?.effect?.getTiming().iterations === Infinity && it.playState === 'running').length);
  assert.equal(await running(), 0);
  assert.deepEqual(trouble, []);
  await close();
});

/** Performs random DOM operations of frameworks, determined by the seed. In the end the widget is in `#home` with its original attributes. */
async function fuzz({ seed, steps, tag, attributes }) {
  let state = seed;
  const random = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const pick = (list) => list[random(list.length)];
  const pause = () => {
    const kind = random(8);
    if (kind < 4) return undefined;
    if (kind < 6) return Promise.resolve();
    if (kind < 7) return new Promise((resolve) => requestAnimationFrame(resolve));
    return new Promise((resolve) => setTimeout(resolve, random(120)));
  };
  const make = () => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.innerHTML = '<a href="/">시세</a>';
    return made;
  };
  let it = document.querySelector(tag);
  const home = () => document.querySelector('#home');
  const frame = () => {
    const made = document.createElement('iframe');
    document.body.append(made);
    return made;
  };
  const values = {
    lang: ['ko', 'en', 'ja'], theme: ['light', 'dark', 'auto'], size: ['s', 'xl', 'inherit'], basis: ['24h', 'utc-day', 'kst-day'],
    markets: ['BTC-KRW', 'ETH-KRW', 'XRP-KRW', 'NOPE-KRW'], board: ['krw', 'nope', ''], transparent: ['', 'on', 'off'], flash: ['off', 'on', 'wrong'], announce: [''], title: ['off'], unknown: ['x'],
  };
  const actions = {
    move() {
      const around = document.createElement('div');
      it.before(around);
      around.append(it);
      if (random(2)) around.replaceWith(it);
    },
    order: () => home().insertBefore(it, pick([null, ...home().children].filter((other) => other !== it))),
    before: () => home().moveBefore && it.isConnected && it.ownerDocument === document && home().moveBefore(it, null),
    remove: () => it.remove(),
    put: () => home().append(it),
    set() {
      const name = pick(Object.keys(values));
      it.setAttribute(name, pick(values[name]));
    },
    unset: () => it.removeAttribute(pick(Object.keys(values))),
    swap: () => home().replaceChildren(document.createElement('p'), it),
    html() {
      const text = it.outerHTML;
      it.remove();
      home().innerHTML = text;
      it = home().querySelector(tag);
    },
    clone() {
      const copy = it.cloneNode(true);
      it.replaceWith(copy);
      it = copy;
    },
    template() {
      const held = document.createElement('template');
      held.innerHTML = it.outerHTML;
      it.remove();
      home().append(held.content.cloneNode(true));
      it = home().lastElementChild;
    },
    body() {
      const body = document.body.cloneNode(true);
      document.body.replaceWith(body);
      it = document.querySelector(tag) ?? make();
      if (!it.isConnected) home().append(it);
    },
    keep() {
      // The old element is moved into the new body, as for permanent elements.
      const body = document.body.cloneNode(true);
      body.querySelectorAll(tag).forEach((other) => other.remove());
      document.body.replaceWith(body);
      home().append(it);
    },
    async away() {
      const away = frame();
      away.contentDocument.body.append(away.contentDocument.adoptNode(it));
      await pause();
      if (random(2)) home().append(it);
      away.remove();
      await pause();
      home().append(it);
    },
    async lost() {
      // A frame is removed with the element in it, and the host creates another.
      const away = frame();
      away.contentDocument.body.append(it);
      await pause();
      away.remove();
      await pause();
      it = make();
      home().append(it);
    },
    inert: () => document.implementation.createHTMLDocument('').body.append(it),
    hide: () => (it.style.display = pick(['none', '', 'contents', 'block'])),
    async shadow() {
      const around = document.createElement('div');
      around.attachShadow({ mode: pick(['open', 'closed']) }).append(it);
      home().append(around);
      await pause();
      home().append(it);
      around.remove();
    },
    fallback: () => (it.innerHTML = pick(['', '<a href="/">other</a>', 'text'])),
    wipe: () => it.shadowRoot?.replaceChildren(),
    cycle() {
      dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
      dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
    },
    async transition() {
      if (!document.startViewTransition) return;
      const over = document.startViewTransition(() => home().append(it));
      // Skipped, as if the next transition began before this one has ended.
      for (const part of [over.ready, over.finished]) part.catch(() => {});
      await over.updateCallbackDone.catch(() => {});
      over.skipTransition();
    },
  };
  const names = Object.keys(actions);
  for (let step = 0; step < steps; step++) {
    await actions[pick(names)]();
    await pause();
  }
  if (it.ownerDocument !== document) document.adoptNode(it);
  for (const name of it.getAttributeNames()) if (!(name in attributes)) it.removeAttribute(name);
  for (const [name, value] of Object.entries(attributes)) it.setAttribute(name, value);
  it.innerHTML = '<a href="/">시세</a>';
  home().replaceChildren(it);
  for (const other of [...document.body.children]) if (other !== home()) other.remove();
}

for (const [widget, more, seed] of [['tape', {}, 1], ['chart', { markets: 'BTC-KRW' }, 2], ['board', { announce: '' }, 3], ['movers', {}, 4]]) {
  test(`FC-24: ${widget}: after a thousand random DOM operations (seed ${seed}), the widget is as new`, async () => {
    const attributes = { lang: 'ko', ...more };
    const list = Object.entries(attributes).map(([name, value]) => `${name}="${value}"`).join(' ');
    const url = await site(`<head>${script()}</head><body><div id="home" style="width:300px">${element(widget, list)}</div></body>`);
    const { page, counts, trouble, close } = await counted(url);
    const settled = async () => {
      // After hundreds of removals, the back-off may delay the connection.
      await live(page);
      if (widget === 'tape') await page.locator('[data-moving]').waitFor({ state: 'attached' });
      if (widget === 'chart') await page.locator('[data-probe]').first().waitFor({ state: 'attached' });
      if (more.announce === '') await page.locator('.announce').waitFor({ state: 'attached' });
    };
    const shape = () => page.evaluate(() => {
      const shape = (at) => at.localName + [...at.attributes].filter(({ name }) => /^(lang|data-(widget|markets|theme|size|basis|market|cell|probe|added|transparent|flash|title))$/.test(name)).map(({ name, value }) => `[${name}=${value}]`).join('') + (at.children.length ? `(${[...at.children].map(shape).join()})` : '');
      const root = document.querySelector('#home > *').shadowRoot.querySelector('.sisepan');
      root.querySelectorAll('svg *').forEach((it) => it.removeAttribute('data-x'));
      return shape(root).replaceAll(/svg[^)]*\)+/g, 'svg');
    });
    await settled();
    const fresh = await counts();
    await page.evaluate(fuzz, { seed, steps: 1000, tag: `sisepan-${widget}`, attributes });
    await settled();
    const wanted = { ...fresh };
    await until('nothing is leaked', async () => {
      const found = await counts();
      // The number of labels of a chart depends on its prices.
      if (widget === 'chart' || widget === 'movers') wanted.tree = found.tree > fresh.tree * 0.8 && found.tree < fresh.tree * 1.2 ? found.tree : fresh.tree;
      return alike(found, wanted);
    });
    // Compares with the widget of an untouched page.
    const shapeAfter = await shape();
    await page.reload();
    await settled();
    if (widget === 'tape' || widget === 'board') assert.equal(shapeAfter, await shape());
    for (const [name, value] of Object.entries({ lang: 'ko', ...(more.markets && { 'data-markets': more.markets }) })) assert.ok(shapeAfter.includes(`[${name}=${value}]`), shapeAfter.slice(0, 200));
    assert.deepEqual(trouble, []);
    await close();
  });
}

test('FC-23: fragments are found again after replacements of the body, also as copies', async () => {
  const includes = await Promise.all(['tape', 'chart'].map(async (widget) => (await fetch(`${sisepan.url}/fragment/${widget}?lang=ko`)).text()));
  const url = await site(`<head><link rel="stylesheet" href="${sisepan.url}/sisepan.css">${script()}</head><body><div id="home" style="width:300px">${includes.join('')}</div></body>`);
  const { page, counts, trouble, close } = await counted(url);
  const settled = async () => {
    await live(page, 2);
    await page.locator('[data-moving]').waitFor({ state: 'attached' });
    await page.locator('[data-probe]').first().waitFor({ state: 'attached' });
  };
  await settled();
  const fresh = await counts();
  for (const how of ['a copy of the body', 'text', 'a new fragment', 'a morph']) {
    await page.evaluate(async ([how, includes]) => {
      for (let n = 0; n < 5; n++) {
        const home = document.querySelector('#home');
        if (how === 'a copy of the body') document.body.replaceWith(document.body.cloneNode(true));
        if (how === 'text') home.innerHTML = home.innerHTML;
        if (how === 'a new fragment') home.innerHTML = includes.join('');
        if (how === 'a morph') {
          // Keeps the root elements, and replaces their content and attributes by those of the server.
          const newer = document.createElement('div');
          newer.innerHTML = includes.join('');
          [...home.children].forEach((root, at) => {
            for (const name of root.getAttributeNames()) root.removeAttribute(name);
            for (const { name, value } of newer.children[at].attributes) root.setAttribute(name, value);
            root.replaceChildren(...newer.children[at].childNodes);
          });
        }
        await new Promise((resolve) => setTimeout(resolve, 30 * n));
      }
    }, [how, includes]);
    await until(`${how}: nothing is leaked`, async () => {
      await settled();
      const found = await counts();
      return alike(found, { ...fresh, tree: Math.abs(found.tree - fresh.tree) < 40 ? found.tree : fresh.tree });
    });
    await page.mouse.move(690, 2900);
    await page.locator('[data-pause]').click();
    assert.equal(await page.locator('[data-pause]').getAttribute('aria-pressed'), 'true', how);
    await page.locator('[data-pause]').click();
    await page.mouse.move(690, 2900);
  }
  await page.evaluate(() => document.body.replaceChildren());
  await until('nothing is left', async () => {
    const { animations, resizes, seen, sockets } = await counts();
    return (!animations && !resizes && !seen && !sockets) || JSON.stringify({ animations, resizes, seen, sockets });
  });
  assert.deepEqual(trouble, []);
  await close();
});

test('FC-28: an attribute without a value is on', async () => {
  const { page, close } = await open(chrome, await site(script() + element('ticker', 'lang="ko" transparent') + element('board', 'lang="ko" transparent="false"')), tall);
  await live(page, 2);
  assert.equal(await page.locator('sisepan-ticker .sisepan[data-transparent]').count(), 1);
  assert.equal(await page.locator('sisepan-board .sisepan[data-transparent]').count(), 0);
  await page.evaluate(() => document.querySelector('sisepan-board').setAttribute('transparent', ''));
  await page.locator('sisepan-board .sisepan[data-transparent]').waitFor();
  await page.evaluate(() => document.querySelector('sisepan-board').removeAttribute('transparent'));
  await until('off again', async () => (await page.locator('sisepan-board .sisepan:not([data-transparent])').count()) === 1);
  await close();
});

test('FC-28: the announce attribute is an on/off option like the others, on elements, fragments and frames', async () => {
  const values = { '': true, on: true, true: true, false: false, off: false, no: false, 0: false };
  const fragment = await (await fetch(`${sisepan.url}/fragment/ticker?lang=ko`)).text();
  const each = (made) => Object.entries(values).map(([value, is_on]) => `<div data-is-on="${is_on}">${made(value)}</div>`).join('');
  const body = [
    each((value) => element('ticker', `lang="ko" announce="${value}"`)),
    each((value) => `<div data-announce="${value}">${fragment}</div>`),
    // The nearest attribute applies.
    `<div data-is-on="false"><div data-announce>${element('ticker', 'lang="ko" announce="false"')}</div></div>`,
    `<div data-is-on="true"><div data-announce="false">${element('ticker', 'lang="ko" announce')}</div></div>`,
  ];
  const { page, trouble, close } = await open(chrome, await site(`<link rel="stylesheet" href="${sisepan.url}/sisepan.css">${script()}${body.join('')}`), tall);
  await live(page, Object.keys(values).length * 2 + 2);
  for (const one of await page.locator('[data-is-on="true"]').all()) await one.locator('.announce').waitFor({ state: 'attached' });
  // All use the same module, which is loaded by now.
  for (const one of await page.locator('[data-is-on="false"]').all()) assert.equal(await one.locator('.announce').count(), 0, await one.innerHTML());
  await page.evaluate(() => document.querySelector('[data-is-on="false"] sisepan-ticker').setAttribute('announce', ''));
  await page.locator('[data-is-on="false"] sisepan-ticker .announce').first().waitFor({ state: 'attached' });
  await page.evaluate(() => document.querySelector('[data-is-on="false"] sisepan-ticker').setAttribute('announce', 'false'));
  await until('off again', async () => (await page.locator('[data-is-on="false"] .announce').count()) === 0);
  assert.deepEqual(trouble, []);
  await close();
  for (const [value, is_on] of Object.entries(values)) {
    const { page: frame, close: done } = await open(chrome, 'about:blank', tall);
    const asked = frame.waitForResponse(/announce\.js/);
    await frame.goto(`${sisepan.url}/embed/board?lang=ko&announce=${value}`);
    await (await asked).finished();
    await live(frame);
    if (is_on) await frame.locator('.announce').waitFor();
    else assert.equal(await frame.locator('.announce').count(), 0, value);
    await done();
  }
});

test('FC-44: the search of the start page is updated while typing', async () => {
  const { page, trouble, close } = await open(chrome, `${sisepan.url}/?lang=ko`, { viewport: { width: 900, height: 1400 } });
  const rows = (count) => until(`${count} rows`, async () => {
    const found = await page.locator('.lead tbody tr').count();
    return found === count || found;
  });
  await rows(11);
  await page.evaluate(() => Object.assign(globalThis, { stays: true }));
  // Typed without submitting: initial consonants, then a symbol.
  await page.locator('#q').pressSequentially('ㅂㅌㅋㅇ');
  await until('fewer rows', async () => (await page.locator('.lead tbody tr').count()) < 11);
  await page.locator('#q').fill('xrp');
  await rows(1);
  assert.equal(await page.locator('.lead tbody tr').getAttribute('data-market'), 'XRP-KRW');
  assert.equal(new URL(page.url()).searchParams.get('q'), 'xrp', 'the URL contains it');
  await page.locator('.lead > .sisepan[data-live="on"]').waitFor();
  assert.ok(await page.locator('#q').evaluate((field) => field === document.activeElement), 'the field keeps the focus');
  await page.locator('#q').fill('');
  await rows(11);
  assert.equal(new URL(page.url()).searchParams.get('q'), null);
  await page.locator('#q').fill('nothing has this name');
  await page.locator('.lead [data-empty]').waitFor();
  await page.locator('[data-all]').click();
  await rows(11);
  assert.deepEqual(trouble, []);
  await close();
});

test('FC-44: a copy button restores its label, and names the keys to press if the clipboard is unavailable', async () => {
  for (const [grant, done] of [[true, '복사했습니다'], [false, /^(Ctrl\+|⌘\+)C를 누르세요$/]]) {
    const { page, close } = await open(chrome, `${sisepan.url}/widgets?ui=ko`, { viewport: { width: 1200, height: 1400 } });
    await page.evaluate((grant) => {
      const writeText = async () => {
        if (!grant) throw new DOMException('no', 'NotAllowedError');
      };
      Object.defineProperty(navigator, 'clipboard', { value: { writeText } });
    }, grant);
    const button = page.locator('[data-copy="code-element"]');
    const label = async () => (await button.textContent()).trim();
    assert.equal(await label(), '복사');
    for (let times = 0; times < 3; times++) {
      // Not by position: the frames above it may still change their heights.
      await button.evaluate((it) => it.click());
      await until('it shows the result', async () => new RegExp(done).test(await label()) || `${await label()} ${await button.evaluate((it) => JSON.stringify({ ...it.dataset }))}`);
    }
    if (!grant) assert.match(await page.evaluate(() => String(getSelection())), /<sisepan-board/, 'the code is selected');
    await until('the label is back', async () => (await label()) === '복사' || label());
    await close();
  }
});

test('FC-54: a page opened before the history is loaded gets its lines by itself', async () => {
  const others = await fake();
  opened.push(others);
  // Candles are unavailable at first.
  for (const venue of ['upbit', 'bithumb']) await others.fault({ venue, fault: 'status', status: 503, path: 'candle' });
  const young = await server(others);
  opened.push(young);
  const host = await site(`${script(young.url)}${element('chart', 'markets="BTC-KRW" lang="ko"')}${element('card', 'markets="BTC-KRW" lang="ko"')}`);
  const pages = [host, `${young.url}/embed/chart?markets=BTC-KRW&lang=ko`, `${young.url}/market/BTC-KRW?lang=ko`, `${young.url}/?lang=ko`];
  const views = await Promise.all(pages.map((url) => open(chrome, url, { viewport: { width: 900, height: 2600 } })));
  const refresh = async () => +(/data-refresh="(\d+)"/.exec(await (await fetch(`${young.url}/fragment/chart?markets=BTC-KRW&lang=ko`, { cache: 'no-store' })).text())?.[1] ?? 0);
  assert.ok((await refresh()) <= 5, 'while the history is being loaded, lines are reloaded within five seconds');
  await others.clearFaults();
  const known = async () => {
    const history = await (await fetch(`${young.url}/api/v1/history/BTC-KRW?span=24h&step=15m`, { cache: 'no-store' })).json();
    return (history.close ?? []).filter((close) => close !== null).length;
  };
  // Requests for candles are repeated after growing pauses.
  await until('the history is there', async () => (await known()) > 90 || known(), 3 * TIMEOUT_MS);
  const drawn = ({ page }, count) => page.evaluate((count) => {
    const roots = [document, ...[...document.querySelectorAll('*')].flatMap((it) => it.shadowRoot ?? [])];
    const lines = roots.flatMap((root) => [...root.querySelectorAll('svg.plot .line, svg.spark .line')]).map((it) => it.getAttribute('d').length);
    return (lines.length >= count && Math.min(...lines) > 100) || lines.join();
  }, count);
  for (const [at, count] of [2, 1, 2, 11].entries()) await until(`the lines of ${pages[at]}`, () => drawn(views[at], count));
  await until('reloads return to the normal interval', async () => (await refresh()) === 30 || refresh());
  for (const view of views) {
    assert.deepEqual(view.trouble, []);
    await view.close();
  }
});
