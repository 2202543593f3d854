// Badges: compares the PNG with the SVG, both rendered by Chromium.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { browser, fake, open, ready, screenshot, server, site, SHOTS } from './harness.js';

let exchanges, sisepan, chrome;
const sites = [];

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges);
  chrome = await browser();
  await ready(sisepan);
});

after(async () => {
  await chrome?.close();
  await Promise.all(sites.map((one) => one.stop()));
  await sisepan?.stop();
  await exchanges?.stop();
});

/** Returns SVG and PNG with the same price, which may change between the requests. */
async function both(query) {
  for (let tries = 0; tries < 60; tries++) {
    const [svg, png, again] = await Promise.all(['svg', 'png', 'svg'].map(async (form) => Buffer.from(await (await fetch(`${sisepan.url}/badge/${query.replace('?', `.${form}?`)}`)).arrayBuffer())));
    if (svg.equals(again)) return { svg: svg.toString(), png: `data:image/png;base64,${png.toString('base64')}` };
  }
  throw new Error('the price changed between all requests');
}

/**
 * Draws two images at the scale of the page, slightly blurred since two renderers never place a stroke on the same
 * fraction of a pixel. Returns the share of ink that they have in common, and the ink of each.
 */
async function compared([svg, png, width]) {
  const ink = async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const [across, down, edge] = [width, 26, 2].map((pixels) => pixels * devicePixelRatio);
    const context = new OffscreenCanvas(across, down).getContext('2d');
    context.filter = `blur(${devicePixelRatio}px)`;
    context.drawImage(image, 0, 0, across, down);
    const { data } = context.getImageData(edge, edge, across - 2 * edge, down - 2 * edge);
    // Halfway down, left of the text.
    const ground = data.slice(4 * (across - 2 * edge) * 10 * devicePixelRatio).slice(4 * edge, 4 * edge + 3);
    return Array.from({ length: data.length / 4 }, (_, at) => Math.max(...ground.map((one, channel) => Math.abs(data[4 * at + channel] - one))));
  };
  const [a, b] = [await ink(svg), await ink(png)];
  const sum = (list) => list.reduce((all, one) => all + one, 0);
  return { shared: sum(a.map((one, at) => Math.min(one, b[at]))) / sum(a.map((one, at) => Math.max(one, b[at]))), svg: sum(a), png: sum(b) };
}

test('FC-29: the PNG looks like the SVG, in Korean, English and Japanese, at a pixel ratio of 1 and 2', { timeout: 240_000 }, async () => {
  for (const deviceScaleFactor of [1, 2]) {
    const rows = [];
    for (const lang of ['ko', 'en', 'ja']) {
      for (const theme of ['light', 'dark']) rows.push({ lang, theme, ...(await both(`BTC-KRW?lang=${lang}&theme=${theme}`)) });
      rows.push({ lang, theme: 'none', ...(await both(`NO-KRW?lang=${lang}`)) });
    }
    const width = ({ svg }) => Math.ceil(Number(svg.match(/ width="([\d.]+)"/)[1]));
    const image = (row) => `<p><img src="${row.png}" alt="" width="${width(row)}" height="26"></p>`;
    const shown = await site(`<body style="background:#fff">${rows.map(image).join('')}`);
    sites.push(shown);
    const { page, close } = await open(chrome, shown.url, { deviceScaleFactor, viewport: { width: 440, height: 480 } });
    const sizes = await page.evaluate(() => Promise.all([...document.images].map((one) => one.decode().then(() => [one.naturalWidth, one.naturalHeight]))));
    assert.deepEqual(sizes, rows.map((row) => [2 * width(row), 52]));
    for (const row of rows) {
      // The same font for both, whatever `system-ui` is on this machine.
      const svg = `data:image/svg+xml,${encodeURIComponent(row.svg.replace(/font-family="[^"]*"/, 'font-family="Noto Sans CJK JP"'))}`;
      const found = await page.evaluate(compared, [svg, row.png, width(row)]);
      const what = `${row.lang} ${row.theme} at ${deviceScaleFactor}`;
      assert.ok(found.svg > 1000 && found.png > 1000 && found.shared > 0.65, `${what}: ${JSON.stringify(found)}`);
      // Badges with other texts do not match.
      for (const other of rows.filter((other) => other.theme === row.theme && other !== row)) {
        const { shared } = await page.evaluate(compared, [svg, other.png, width(row)]);
        assert.ok(shared < 0.55, `${what} and ${other.lang}: ${shared}`);
      }
    }
    await screenshot(page, { path: path.join(SHOTS, `badge-${deviceScaleFactor}.png`) });
    await close();
  }
});
