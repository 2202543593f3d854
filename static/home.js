// @ts-check
/**
 * The search of the start page finds while one types. Without this, its button does.
 *
 * The server searches, so names, initial consonants and symbols are found alike; the page says so in its address.
 */

import { load } from './page.js';

/** A pause in typing, after which the server is asked. */
const PAUSE_MS = 150;

const form = /** @type {HTMLFormElement} */ (document.querySelector('[data-search]'));
const lead = /** @type {HTMLElement} */ (form.closest('.lead'));
const field = /** @type {HTMLInputElement} */ (form.elements.namedItem('q'));

let turn = 0;
let timer = 0;
let found = field.value.trim();

/** Shows what the field says, and newer lines. */
async function renew() {
  timer = 0;
  const wanted = field.value.trim();
  const now = ++turn;
  const query = new URLSearchParams(location.search);
  for (const [name, value] of new FormData(form)) query.set(name, String(value));
  if (!wanted) query.delete('q');
  try {
    const page = await load('?' + query);
    if (now !== turn) return;
    if (wanted === found) return lines(page);
    for (const selector of ['.lead > .sisepan', '.tabs', 'header nav', '[data-all]']) {
      const newer = [...page.querySelectorAll(selector)];
      // What has the focus stays: its links may be older by a word.
      document.querySelectorAll(selector).forEach((old, at) => newer[at] && !old.contains(document.activeElement) && old.replaceWith(newer[at]));
    }
    history.replaceState(null, '', '?' + query);
    found = wanted;
  } catch {
    // The button still does it.
  } finally {
    grow();
  }
}

/** Puts newer lines into the rows, and leaves everything else to the stream. @param {Document} page */
function lines(page) {
  lead.dataset.refresh = page.querySelector('.lead')?.getAttribute('data-refresh') || '';
  for (const row of lead.querySelectorAll('[data-market]')) {
    const place = `[data-market="${CSS.escape(row.getAttribute('data-market') || '')}"] [data-col="spark"]`;
    const newer = page.querySelector('.lead ' + place);
    if (newer) lead.querySelector(place)?.replaceChildren(...newer.childNodes);
  }
}

/** @param {number} ms */
const soon = (ms) => {
  clearTimeout(timer);
  timer = setTimeout(renew, ms);
};

/** While the server is still reading the past, the page says how soon a line may be longer. */
const grow = () => {
  const seconds = Number(lead.dataset.refresh);
  if (seconds && !timer) soon(seconds * 1000);
};

form.addEventListener('input', () => soon(PAUSE_MS));
form.addEventListener('submit', (event) => {
  event.preventDefault();
  soon(0);
});
grow();
