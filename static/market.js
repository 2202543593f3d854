// @ts-check
/**
 * Keeps the page of a market as new as the stream.
 *
 * The server draws and writes everything. When the stream says something else than the page, the page is
 * fetched again and every figure is replaced at once, so that all of them are of one moment.
 */

import { load } from './page.js';

/** Least time between two fetches. */
const EVERY_MS = 1_000;

const told = () => /** @type {HTMLElement | null} */ (document.querySelector('.told'));

/** What holds figures; the state of the connection stands beside them. */
const PARTS = ['.quote', '.plots', '.tables'];

/** What the stream said last, as the server writes it into `data-said`. */
let said = '';
let fetched = 0;
let timer = 0;
/** Whether a plot that was being read is older than the rest. */
let late = false;
let growth = 0;
/** Whether it is to be fetched even if the stream says the same. */
let is_due = false;

/** Fetches that did not bring what the stream said: each may come from a cache, from a moment before, or fail. */
let failures = 0;
const FAILURES_MAX = 3;
const RETRY_MAX_MS = 60_000;

async function renew() {
  timer = 0;
  fetched = Date.now();
  if (document.hidden || (!is_due && !late && (!said || said === told()?.dataset.said))) return grow();
  // A plot that is being read stays as it is until it is left.
  const reading = !!document.querySelector('[data-probe] :is(:focus, :hover)');
  try {
    const newer = await load(location.href);
    for (const part of PARTS) {
      const [was, is] = [document, newer].map((it) => /** @type {HTMLElement | null} */ (it.querySelector(part)));
      if (was && is && !(reading && part === '.plots')) was.replaceWith(is);
    }
    const [was, is] = [told(), /** @type {HTMLElement | null} */ (newer.querySelector('.told'))];
    if (was && is) {
      delete was.dataset.refresh;
      Object.assign(was.dataset, is.dataset);
    }
    late = reading;
    if (late) soon();
  } catch {
    // Tried again below.
  }
  is_due = false;
  failures = !said || said === told()?.dataset.said ? 0 : failures + 1;
  if (failures) soon();
  grow();
  // What could not be renewed does not look new; the next answer says again how it is.
  const old = told();
  if (old && failures >= FAILURES_MAX) old.dataset.state = 'stale';
}

function soon() {
  timer ||= setTimeout(renew, Math.max(0, fetched + Math.min(RETRY_MAX_MS, EVERY_MS * 2 ** Math.max(0, failures - FAILURES_MAX)) - Date.now()));
}

/** While the server is still reading the past, the page says how soon a line may be longer. */
function grow() {
  const seconds = Number(told()?.dataset.refresh);
  if (!seconds) return;
  clearTimeout(growth);
  growth = setTimeout(() => {
    is_due = true;
    soon();
  }, seconds * 1000);
}

document.addEventListener('sisepan:row', (event) => {
  const { row } = /** @type {CustomEvent} */ (event).detail;
  said = [row.last, row.state, row.change?.base_at, row.reason, row.notice && JSON.stringify(row.notice)].map((it) => it ?? '').join('|');
  soon();
});
document.addEventListener('visibilitychange', soon);
grow();
