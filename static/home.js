// @ts-check
/**
 * Updates the results of the start page's search while the visitor types. Without script, the button submits the form.
 *
 * The server does the search, over names, initial consonants and symbols. The URL of the page is kept up to date.
 */

import { load } from './page.js';

/** Pause in typing after which the request is sent. */
const PAUSE_MS = 150;

const form = /** @type {HTMLFormElement} */ (document.querySelector('[data-search]'));
const lead = /** @type {HTMLElement} */ (form.closest('.lead'));
const field = /** @type {HTMLInputElement} */ (form.elements.namedItem('q'));

let newest_request = 0;
let timer = 0;
let shown_search = field.value.trim();

/** Loads the results for the search field, or newer sparklines if the search has not changed. */
async function update() {
  timer = 0;
  const search = field.value.trim();
  const request = ++newest_request;
  const query = new URLSearchParams(location.search);
  for (const [name, value] of new FormData(form)) query.set(name, String(value));
  if (!search) query.delete('q');
  try {
    const page = await load('?' + query);
    if (request !== newest_request) return;
    if (search === shown_search) return replaceSparks(page);
    for (const selector of ['.lead > .sisepan', '.tabs', 'header nav', '[data-all]']) {
      const newer = [...page.querySelectorAll(selector)];
      // A part with the focus is not replaced: its links may lag behind by one search.
      document.querySelectorAll(selector).forEach((old, at) => newer[at] && !old.contains(document.activeElement) && old.replaceWith(newer[at]));
    }
    history.replaceState(null, '', '?' + query);
    shown_search = search;
  } catch {
    // Ignored: the button still works.
  } finally {
    scheduleRefresh();
  }
}

/** Replaces the sparklines of the rows; everything else is updated by the stream. @param {Document} page */
function replaceSparks(page) {
  lead.dataset.refresh = page.querySelector('.lead')?.getAttribute('data-refresh') || '';
  for (const row of lead.querySelectorAll('[data-market]')) {
    const cell = `[data-market="${CSS.escape(row.getAttribute('data-market') || '')}"] [data-col="spark"]`;
    const newer = page.querySelector('.lead ' + cell);
    if (newer) lead.querySelector(cell)?.replaceChildren(...newer.childNodes);
  }
}

/** @param {number} ms */
const schedule = (ms) => {
  clearTimeout(timer);
  timer = setTimeout(update, ms);
};

/** Schedules the next request while the server is still loading the price history; `data-refresh` has the seconds. */
const scheduleRefresh = () => {
  const seconds = Number(lead.dataset.refresh);
  if (seconds && !timer) schedule(seconds * 1000);
};

form.addEventListener('input', () => schedule(PAUSE_MS));
form.addEventListener('submit', (event) => {
  event.preventDefault();
  schedule(0);
});
scheduleRefresh();
