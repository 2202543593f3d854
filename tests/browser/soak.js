/**
 * The pages of a soak test: `node soak.js URL COUNT`. Opens pages and collects browser errors; at the first input it compares
 * what each page shows with the data of the server. Run by `examples/soak`.
 */
import { browser, open, site, until } from './harness.js';

const [, , url, count] = process.argv;
const BOARD = 'upbit';

/** Returns the rows that a page shows, in custom elements and plain tables. */
const shown = () => {
  const roots = [document, ...[...document.querySelectorAll('*')].map((element) => element.shadowRoot).filter(Boolean)];
  const rows = roots.flatMap((root) => [...root.querySelectorAll('[data-market]')]);
  const cell = (row, name) => row.querySelector(`[data-cell="${name}"]`)?.textContent.trim();
  // A market page has its price outside of the row.
  const page = document.querySelector('main.market');
  const whole = page ? [[page.dataset.markets, '', cell(page, 'last')]] : [];
  return [...rows.map((row) => [row.dataset.market, row.dataset.state, cell(row, 'last')]), ...whole].filter(([, , last]) => last);
};

const host = await site(`<script type="module" src="${url}/sisepan.js"></script>
  <sisepan-board board="${BOARD}" lang="en"></sisepan-board><sisepan-tape board="${BOARD}" lang="en"></sisepan-tape>
  <iframe src="${url}/embed/board?board=${BOARD}&lang=en" title="Prices" width="320" height="900"></iframe>`);
const places = [host.url, `${url}/?lang=en`, `${url}/market/BTC-KRW?lang=en`, `${url}/embed/board?board=${BOARD}&lang=en`, `${url}/embed/movers?lang=en`];
const chrome = await browser();
const pages = [];
for (let at = 0; at < Number(count); at += 1) {
  // High enough for all widgets, since those off screen are not updated.
  const place = places[at % places.length];
  pages.push({ place, ...(await open(chrome, place, { viewport: { width: 1000, height: 8000 } })) });
}

const size = async ({ page, place }) => {
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage').catch(() => {});
  const { nodes, jsEventListeners } = await session.send('Memory.getDOMCounters');
  return { place: new URL(place).pathname, nodes, listeners: jsEventListeners };
};
const first = await Promise.all(pages.map(size));

process.stdin.resume();
await new Promise((resolve) => process.stdin.once('data', resolve));

for (const [at, one] of pages.entries()) {
  one.trouble.forEach((trouble) => console.log(`TROUBLE ${one.place}: ${trouble}`));
  const last = await size(one);
  console.log(`${last.place}: nodes ${first[at].nodes} to ${last.nodes}, listeners ${first[at].listeners} to ${last.listeners}`);
  // Charts and tapes may vary by a few nodes; a leak of one per minute is detected.
  if (last.nodes > first[at].nodes * 1.5 + 200) console.log(`TROUBLE ${one.place}: the number of nodes has grown`);
  const texts = async () => {
    const answer = await (await fetch(`${url}/api/v1/snapshot?board=${BOARD}&lang=en`, { cache: 'no-store' })).json();
    return new Map(answer.rows.map((row) => [row.market, row.text.last]));
  };
  // Prices change during the comparison, so each row has to be right only once.
  const right = new Set();
  await until(`${one.place} shows the data of the server`, async () => {
    const before = await texts();
    const rows = (await one.page.evaluate(shown)).filter(([market]) => before.has(market));
    const after = await texts();
    for (const [market, , last] of rows) if (last === before.get(market) || last === after.get(market)) right.add(market);
    const wrong = rows.filter(([market]) => !right.has(market));
    return (rows.length > 0 && wrong.length === 0) || wrong;
  }).catch((error) => console.log(`TROUBLE ${error.message}`));
}
await chrome.close();
await host.stop();
process.exit(0);
