// Takes the pictures of the README from the demo: frames of the board, and the configurator. Run by scripts/pictures.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { browser, demo, open, screenshot, site } from './harness.js';

const FOLDER = fileURLToPath(new URL('../../target/pictures', import.meta.url));
const FRAMES = 40;
const FRAME_MS = 300;

const frame = (url, theme) => `<div class="${theme}"><iframe src="${url}/embed/board?lang=en&theme=${theme}&interval=250&transparent=on" sandbox="allow-scripts"></iframe></div>`;

await mkdir(FOLDER, { recursive: true });
const sisepan = await demo();
const chrome = await browser();
try {
  const style = '<style>body { margin: 0; display: flex } div { padding: 24px 24px 8px } .light { background: #fff } .dark { background: #16171b; color-scheme: dark } iframe { border: 0; width: 352px; height: 552px }</style>';
  const host = await site(style + frame(sisepan.url, 'light') + frame(sisepan.url, 'dark'));
  const board = await open(chrome, host.url, { viewport: { width: 800, height: 584 }, deviceScaleFactor: 2, locale: 'en-US' });
  for (const inner of board.page.frames().slice(1)) await inner.waitForFunction(() => /^[▲▼]|\d%/.test(document.body.innerText));
  for (let at = 0; at < FRAMES; at += 1) {
    await screenshot(board.page, { path: path.join(FOLDER, `board-${String(at).padStart(2, '0')}.png`) });
    await wait(FRAME_MS);
  }
  await board.close();
  await host.stop();

  const widgets = await open(chrome, `${sisepan.url}/widgets?lang=en`, { viewport: { width: 1120, height: 900 }, deviceScaleFactor: 2, locale: 'en-US' });
  await wait(3000);
  await screenshot(widgets.page, { path: path.join(FOLDER, 'configurator.png') });
  await widgets.close();
} finally {
  await chrome.close();
  await sisepan.stop();
}
