// @ts-check
/**
 * Keeps a market page up to date with the stream.
 *
 * The server renders everything. When a row of the stream differs from the page, the page is fetched again
 * and every figure is replaced at once, so that all of them are consistent.
 */

import { load } from './page.js';

/** Minimum time between two fetches. */
const EVERY_MS = 1_000;

const data = () => /** @type {HTMLElement | null} */ (document.querySelector('.told'));

/** The parts of the page with figures. The state of the connection is outside of them. */
const PARTS = ['.quote', '.plots', '.tables'];

/** The latest row of the stream, in the format of `data-said`. */
let latest = '';
let fetched = 0;
let timer = 0;
/** Whether the plots are older than the other parts, since a visitor was reading them. */
let plots_are_late = false;
let refresh = 0;
/** Whether to fetch the page even if the stream agrees with it. */
let is_due = false;

/** Consecutive fetches that failed or returned older figures than the stream, for instance from a cache. */
let failures = 0;
const FAILURES_MAX = 3;
const RETRY_MAX_MS = 60_000;

async function update() {
  timer = 0;
  fetched = Date.now();
  if (document.hidden || (!is_due && !plots_are_late && (!latest || latest === data()?.dataset.said))) return scheduleRefresh();
  // Plots are not replaced while a visitor reads a point of them.
  const reading = !!document.querySelector('[data-probe] :is(:focus, :hover)');
  try {
    const newer = await load(location.href);
    for (const part of PARTS) {
      const [was, is] = [document, newer].map((it) => /** @type {HTMLElement | null} */ (it.querySelector(part)));
      if (was && is && !(reading && part === '.plots')) was.replaceWith(is);
    }
    const [was, is] = [data(), /** @type {HTMLElement | null} */ (newer.querySelector('.told'))];
    if (was && is) {
      delete was.dataset.refresh;
      Object.assign(was.dataset, is.dataset);
    }
    plots_are_late = reading;
    if (plots_are_late) schedule();
  } catch {
    // Retried below.
  }
  is_due = false;
  failures = !latest || latest === data()?.dataset.said ? 0 : failures + 1;
  if (failures) schedule();
  scheduleRefresh();
  // Figures that can't be updated are marked as stale; the next successful fetch replaces the state.
  const old = data();
  if (old && failures >= FAILURES_MAX) old.dataset.state = 'stale';
}

/** Schedules a fetch, with the minimum time between two and a back-off after failures. */
function schedule() {
  timer ||= setTimeout(update, Math.max(0, fetched + Math.min(RETRY_MAX_MS, EVERY_MS * 2 ** Math.max(0, failures - FAILURES_MAX)) - Date.now()));
}

/** Schedules a fetch while the server is still loading the price history; `data-refresh` has the seconds. */
function scheduleRefresh() {
  const seconds = Number(data()?.dataset.refresh);
  if (!seconds) return;
  clearTimeout(refresh);
  refresh = setTimeout(() => {
    is_due = true;
    schedule();
  }, seconds * 1000);
}

document.addEventListener('sisepan:row', (event) => {
  const { row } = /** @type {CustomEvent} */ (event).detail;
  latest = [row.last, row.state, row.change?.base_at, row.reason, row.notice && JSON.stringify(row.notice)].map((it) => it ?? '').join('|');
  schedule();
});
document.addEventListener('visibilitychange', schedule);
scheduleRefresh();
