// @ts-check
/**
 * Keeps the page of a market as new as the stream that its head follows.
 *
 * The server draws and writes everything; when the stream says something else
 * than the page, the page is fetched again and the newer part is put in.
 */

/** Least time between two fetches. */
const EVERY_MS = 3_000;

const told = () => /** @type {HTMLElement | null} */ (document.querySelector('.told'));

/** What the stream said last, as the server writes it into `data-said`. */
let said = '';
let fetched = 0;
let timer = 0;

/** Fetches left until the page must say what the stream said: it may come from a cache, or from a moment before. */
let tries = 0;
const TRIES = 3;

async function renew() {
  timer = 0;
  fetched = Date.now();
  if (document.hidden || said === told()?.dataset.said) return;
  // A plot that is just being read stays.
  if (document.querySelector('[data-probe] :is(:focus, :hover)')) return soon();
  try {
    const answer = await fetch(location.href, { cache: 'no-cache' });
    if (!answer.ok) throw new Error('page: ' + answer.status);
    // Parsed into a document of its own, where nothing runs.
    const newer = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('.told');
    if (newer) told()?.replaceWith(document.importNode(newer, true));
  } catch {
    // Tried again below, and at the next word of the stream.
  }
  if (said !== told()?.dataset.said && tries-- > 0) soon();
}

function soon() {
  timer ||= setTimeout(renew, Math.max(0, fetched + EVERY_MS - Date.now()));
}

document.addEventListener('sisepan:row', (event) => {
  const { row } = /** @type {CustomEvent} */ (event).detail;
  said = [row.last ?? '', row.state ?? '', row.change?.base_at ?? ''].join('|');
  tries = TRIES;
  soon();
});
document.addEventListener('visibilitychange', soon);
