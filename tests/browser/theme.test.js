// Readability: themes, with contrast measured in screenshots; the demo; print.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import AxeBuilder from '@axe-core/playwright';
import { PNG } from 'pngjs';
import { demo, fake, headlessShell, ready, screenshot, server, until } from './harness.js';

const WIDGETS = ['board', 'tape', 'card', 'ticker', 'movers', 'chart'];
const THEMES = ['auto', 'light', 'dark'];
const SYSTEMS = ['light', 'dark', 'no-preference'];
/** WCAG 2.2, 1.4.3: text of normal size. */
const CONTRAST_MIN = 4.5;
let exchanges, chrome;

before(async () => {
  exchanges = await fake();
  chrome = await headlessShell();
});

after(async () => {
  await chrome?.close();
  await exchanges?.stop();
});

/** Returns the colour and the position of every visible text, and makes the texts transparent, so that a screenshot shows their background. */
function texts() {
  const found = [];
  for (const element of document.querySelectorAll('body, body *')) {
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const style = getComputedStyle(element);
    if (!own.length || style.visibility === 'hidden' || style.opacity === '0' || element.closest('option, iframe, title, style, script')) continue;
    const range = document.createRange();
    range.selectNodeContents(own[0]);
    const { x, y, width, height } = range.getBoundingClientRect();
    // Texts for screen readers have a size of one pixel.
    let hidden = width < 4 || height < 4;
    for (let at = element; at && !hidden; at = at.parentElement) hidden = getComputedStyle(at).clipPath !== 'none';
    if (hidden) continue;
    const paint = element instanceof SVGElement ? style.fill : style.color;
    const [r, g, b, a = 1] = paint.match(/[\d.]+/g).map(Number);
    found.push({ text: own[0].data.trim().slice(0, 40), ink: [r, g, b], a, x: x + scrollX, y: y + scrollY, width, height });
  }
  const sheet = new CSSStyleSheet();
  sheet.replaceSync('*, *::before, *::after, *::placeholder { color: transparent !important; fill: transparent !important; stroke: transparent !important; transition: none !important }');
  document.adoptedStyleSheets = [sheet];
  return found;
}

const luminance = (rgb) => {
  const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};

/** Returns the texts of a page with too little contrast, and whether the page is dark. */
async function checkContrast(url, colorScheme, media = 'screen') {
  const context = await chrome.newContext({ viewport: { width: 1000, height: 700 }, colorScheme, locale: 'ko-KR', javaScriptEnabled: true });
  const page = await context.newPage();
  // Without scripts, nothing changes between reading the colours and the screenshot.
  await page.route(/\.js$/, (route) => route.abort());
  await page.goto(url);
  await page.emulateMedia({ media, colorScheme });
  const all = await page.evaluate(texts);
  const { data, width, height } = PNG.sync.read(await screenshot(page, { fullPage: true }));
  await context.close();
  assert.ok(all.length > 0, `${url} has text`);
  const pixel = (x, y) => {
    const at = 4 * (Math.min(height - 1, Math.max(0, Math.round(y))) * width + Math.min(width - 1, Math.max(0, Math.round(x))));
    return [...data.subarray(at, at + 3)];
  };
  const unreadable = [];
  for (const { text, ink, a, x, y, width, height } of all) {
    const ground = pixel(x + width / 2, y + height / 2);
    const mixed = ink.map((c, at) => c * a + ground[at] * (1 - a));
    const is = contrast(mixed, ground);
    if (is < CONTRAST_MIN) unreadable.push(`${text}: ${is.toFixed(2)}`);
  }
  const corners = [pixel(1, 1), pixel(width - 2, 1), pixel(1, height - 2), pixel(width - 2, height - 2)].map((corner) => luminance(corner) < 0.2);
  return { unreadable, dark: corners.every(Boolean) ? 'dark' : corners.some(Boolean) ? 'both' : 'light' };
}

const expected = (theme, system) => (theme === 'auto' ? (system === 'dark' ? 'dark' : 'light') : theme);

/** The pages whose theme is set by the URL. */
const PAGES = ['/?lang=ko', '/market/BTC-KRW?lang=ko', '/?lang=en&q=zzz', '/market/NOPE?lang=ko', '/?lang=ko&sort=x', ...WIDGETS.flatMap((widget) => [`/embed/${widget}?lang=ko`, `/embed/${widget}?lang=ko&transparent=on`]), '/embed/board?lang=ko&count=x'];

test('FC-47: a theme in the URL applies to the whole page, in all nine combinations with the system', async () => {
  const sisepan = await server(exchanges);
  try {
    await ready(sisepan);
    const wrong = [];
    for (const path of PAGES) {
      for (const theme of THEMES) {
        await Promise.all(SYSTEMS.map(async (system) => {
          const { unreadable, dark } = await checkContrast(`${sisepan.url}${path}&theme=${theme}`, system);
          const where = `${path} theme=${theme} on ${system}`;
          if (dark !== expected(theme, system)) wrong.push(`${where}: the page is ${dark}`);
          if (unreadable.length) wrong.push(`${where}: ${unreadable.slice(0, 3)}`);
        }));
      }
    }
    // In the URL of the configurator, the theme is that of the widget; the page itself stays readable.
    for (const theme of THEMES) {
      for (const system of SYSTEMS) {
        const { unreadable } = await checkContrast(`${sisepan.url}/widgets?ui=ko&theme=${theme}`, system);
        if (unreadable.length) wrong.push(`/widgets theme=${theme} on ${system}: ${unreadable.slice(0, 3)}`);
      }
    }
    assert.deepEqual(wrong, []);
  } finally {
    await sisepan.stop();
  }
});

test('FC-47: a configured theme applies to the whole page as well', async () => {
  const wrong = [];
  for (const theme of THEMES) {
    const sisepan = await server(exchanges, `widgets.theme = "${theme}"`);
    try {
      await ready(sisepan);
      for (const path of [...PAGES, '/widgets?ui=ko', '/widgets?ui=en&widget=chart']) {
        await Promise.all(SYSTEMS.map(async (system) => {
          const { unreadable, dark } = await checkContrast(sisepan.url + path, system);
          const where = `[widgets] theme = ${theme}, ${path} on ${system}`;
          if (dark !== expected(theme, system)) wrong.push(`${where}: the page is ${dark}`);
          if (unreadable.length) wrong.push(`${where}: ${unreadable.slice(0, 3)}`);
        }));
      }
    } finally {
      await sisepan.stop();
    }
  }
  assert.deepEqual(wrong, []);
});

test('FC-51: every widget is printed dark on white, whatever the theme, the system and the surrounding page', async () => {
  const sisepan = await server(exchanges);
  try {
    await ready(sisepan);
    const wrong = [];
    const page = (body) => `data:text/html;charset=utf-8,${encodeURIComponent(`<!doctype html><meta charset="utf-8"><body>${body}`)}`;
    for (const theme of THEMES) {
      for (const widget of WIDGETS) {
        const query = `lang=ko&markets=BTC-KRW&theme=${theme}`;
        const places = [`${sisepan.url}/embed/${widget}?${query}${theme === 'dark' ? '&transparent=on&colors=c8202f-1a5fc8-ff7078-74aaff' : ''}`];
        // A page that is dark on screen only.
        const fragment = await (await fetch(`${sisepan.url}/fragment/${widget}?${query}`)).text();
        const style = '@media screen { body { background: #111; color: #eee } } .sisepan { --sisepan-ink: #eee; --sisepan-quiet: #ccc; --sisepan-ground: #111 }';
        places.push(page(`<link rel="stylesheet" href="${sisepan.url}/sisepan.css"><style>${style}</style>${fragment}`));
        await Promise.all(places.flatMap((url, at) => (theme === 'auto' ? ['light', 'dark'] : ['dark']).map(async (system) => {
          const { unreadable, dark } = await checkContrast(url, system, 'print');
          const where = `${widget} theme=${theme} on ${system}, place ${at}`;
          if (dark !== 'light') wrong.push(`${where}: the paper is ${dark}`);
          if (unreadable.length) wrong.push(`${where}: ${unreadable.slice(0, 3)}`);
        })));
      }
    }
    assert.deepEqual(wrong, []);
  } finally {
    await sisepan.stop();
  }
});

test('FC-34: axe finds nothing on any page of the demo', async () => {
  const shown = await demo();
  try {
    await ready(shown);
    const found = [];
    for (const path of ['/?lang=ko', '/market/BTC-KRW?lang=en', '/widgets?ui=ja', '/?board=nothing', ...WIDGETS.map((widget) => `/embed/${widget}?lang=ko`)]) {
      for (const colorScheme of path.startsWith('/embed') ? ['light'] : ['light', 'dark']) {
        const context = await chrome.newContext({ viewport: { width: 900, height: 900 }, colorScheme });
        const page = await context.newPage();
        await page.goto(shown.url + path);
        if (!/nothing|widgets/.test(path)) await page.locator('.sisepan[data-live="on"]').first().waitFor({ state: 'attached' });
        const { violations } = await new AxeBuilder({ page }).exclude('iframe').analyze();
        for (const { id, nodes } of violations) found.push(`${colorScheme} ${path}: ${id} ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
        await context.close();
      }
    }
    assert.deepEqual(found, []);
  } finally {
    await shown.stop();
  }
});

test('FC-51: print shows each price with its time, and the sources; no controls, no highlights, no dark background', async () => {
  const sisepan = await server(exchanges, 'widgets.theme = "dark"');
  try {
    await ready(sisepan);
    for (const path of ['/?lang=ko', '/market/BTC-KRW?lang=ko', '/embed/board?lang=ko', '/embed/card?lang=ko', '/embed/chart?lang=ko']) {
      for (const javaScriptEnabled of [true, false]) {
        const context = await chrome.newContext({ viewport: { width: 1000, height: 1200 }, colorScheme: 'dark', javaScriptEnabled });
        const page = await context.newPage();
        await page.goto(sisepan.url + path);
        if (javaScriptEnabled) await page.locator('.sisepan[data-live="on"]').first().waitFor({ state: 'attached' });
        await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
        const where = `${path}, ${javaScriptEnabled ? 'with' : 'without'} script`;
        for (const control of ['header nav', '.tabs', '.search', '.venues', '.links', '[data-pause]', 'input[type="range"]']) {
          for (const one of await page.locator(control).all()) assert.equal(await one.isVisible(), false, `${control} on ${where}`);
        }
        const read = () => page.locator('[data-market][data-confirmed]').first().evaluate((row) => {
          // A market page has its price outside of the row that the script updates.
          const last = row.querySelector('[data-cell="last"]') ?? document.querySelector('[data-cell="last"]');
          const flash = last.animate([{ backgroundColor: 'rgb(255, 0, 0)' }, { backgroundColor: 'rgb(255, 0, 0)' }], 10_000);
          const found = { time: getComputedStyle(row, '::after').content, confirmed: row.dataset.confirmed, ground: getComputedStyle(document.documentElement).backgroundColor, flash: getComputedStyle(last).backgroundColor };
          flash.cancel();
          return found;
        });
        // Prices change meanwhile.
        await until(`the time of a price on ${where}`, async () => {
          const { time, confirmed } = await read();
          return (/^\d{4}-\d\d-\d\dT/.test(confirmed) && time === `"${confirmed}"`) || `${time} ${confirmed}`;
        });
        const { ground, flash } = await read();
        assert.deepEqual([ground, flash], ['rgb(255, 255, 255)', 'rgba(0, 0, 0, 0)'], where);
        assert.ok(await page.locator('[data-venue]').first().isVisible(), `the source on ${where}`);
        for (const clock of await page.locator('.sisepan[data-live="on"] [data-cell="clock"]').all()) assert.equal(await clock.isVisible(), false, `a live clock on ${where}`);
        await context.close();
      }
    }
  } finally {
    await sisepan.stop();
  }
});
