// @ts-check
/**
 * Keeps the page of a market as new as the stream.
 *
 * The server draws and writes everything. When the stream says something else than the page, the page is
 * fetched again and every figure is replaced at once, so that all of them are of one moment.
 */

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

/** Fetches left until the page must say what the stream said: it may come from a cache, or from a moment before. */
let tries = 0;
const TRIES = 3;

async function renew() {
  timer = 0;
  fetched = Date.now();
  if (document.hidden || (said === told()?.dataset.said && !late)) return;
  // A plot that is being read stays as it is until it is left.
  const reading = !!document.querySelector('[data-probe] :is(:focus, :hover)');
  try {
    const answer = await fetch(location.href, { cache: 'no-cache' });
    if (!answer.ok) throw new Error('page: ' + answer.status);
    // Parsed into a document of its own, where nothing runs.
    const newer = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of PARTS) {
      const [was, is] = [document, newer].map((it) => /** @type {HTMLElement | null} */ (it.querySelector(part)));
      if (was && is && !(reading && part === '.plots')) was.replaceWith(document.importNode(is, true));
    }
    const [was, is] = [told(), /** @type {HTMLElement | null} */ (newer.querySelector('.told'))];
    if (was && is) Object.assign(was.dataset, is.dataset);
    late = reading;
    if (late) soon();
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
