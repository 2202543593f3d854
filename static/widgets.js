// @ts-check
/**
 * Reloads the result of the configurator after each change, and filters the markets while the visitor types.
 *
 * Without script, the button submits the form. The server generates all code that is copied.
 */

import { load } from './page.js';

/** Pause after a change before the request is sent. */
const PAUSE_MS = 150;

/** Time for which a button shows the result of copying. */
const FEEDBACK_MS = 2_000;

/** Buttons that show the result of copying, with the timers that restore their labels. @type {Map<HTMLElement, number>} */
const labels = new Map();

const form = /** @type {HTMLFormElement} */ (document.getElementById('configurator'));
const result = /** @type {HTMLElement} */ (document.getElementById('result'));

/** The chosen markets, in the order in which they were chosen. @type {string[]} */
let chosen = boxes().filter((box) => box.checked).map((box) => box.value);
let newest_request = 0;
let timer = 0;

function boxes() {
  return /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll('input[name="m"]')]);
}

/** Returns the query for the current choices; defaults are left out. */
function query() {
  const query = new URLSearchParams();
  /** @type {string[]} */
  const columns = [];
  for (const [name, value] of new FormData(form)) {
    if (name === 'columns') columns.push(String(value));
    else if (value !== '' && name !== 'm' && name !== 'q') query.set(name, String(value));
  }
  if (columns.length && columns.join() !== form.dataset.columns) query.set('columns', columns.join());
  if (chosen.length) query.set('markets', chosen.join());
  return String(query).replaceAll('%2C', ',');
}

/** Replaces the result and the options by those of a newer page. @param {Document} page */
function show(page) {
  const newer = page.getElementById('result');
  if (!newer) return;
  // A frame is only reloaded if its URL changes.
  const frames = result.querySelectorAll('iframe');
  const width = /** @type {HTMLInputElement | null} */ (result.querySelector('.widths :checked'))?.value;
  const opened = [...result.querySelectorAll('details')].map((details) => details.open);
  const seen = newer.querySelector('.seen');
  if (frames.length && seen) {
    seen.querySelectorAll('iframe').forEach((frame, at) => {
      const old = frames[at];
      if (old.getAttribute('src') !== frame.getAttribute('src')) old.src = frame.getAttribute('src') || '';
      old.title = frame.title;
    });
    seen.remove();
    for (const old of [...result.children]) if (!old.matches('.seen')) old.remove();
    result.append(...newer.children);
  } else {
    result.replaceChildren(...newer.children);
    const box = /** @type {HTMLInputElement | null} */ (result.querySelector(`.widths [value="${width}"]`));
    if (box) box.checked = true;
  }
  result.querySelectorAll('details').forEach((details, at) => (details.open = opened[at] ?? details.open));
  // Some options exist for one widget only.
  const options = page.querySelector('.look');
  if (options && !form.querySelector('.look')?.contains(document.activeElement)) form.querySelector('.look')?.replaceWith(options);
  prepare();
}

/** Writes the URL that the visitor uses into the code, and shows the copy buttons. */
function prepare() {
  const home = new URL('.', location.href).href.replace(/\/$/, '');
  const base_url = form.dataset.home || '';
  for (const code of result.querySelectorAll('code')) {
    const text = code.textContent || '';
    if (base_url && base_url !== home && text.includes(base_url)) code.textContent = text.replaceAll(base_url, home);
  }
  for (const button of /** @type {Iterable<HTMLElement>} */ (result.querySelectorAll('.copy'))) button.hidden = false;
}

async function update() {
  const request = ++newest_request;
  const chosen_query = query();
  try {
    const page = await load('widgets?' + chosen_query);
    if (request !== newest_request) return;
    show(page);
    history.replaceState(null, '', 'widgets?' + chosen_query);
  } catch {
    // Shows the button again, which works without this script.
    const button = form.querySelector('.do');
    if (button instanceof HTMLElement) button.hidden = false;
  }
}

form.addEventListener('change', ({ target }) => {
  if (target instanceof HTMLInputElement && target.name === 'm') {
    chosen = chosen.filter((market) => market !== target.value);
    if (target.checked) chosen.push(target.value);
  }
  clearTimeout(timer);
  timer = setTimeout(update, PAUSE_MS);
});

form.addEventListener('input', ({ target }) => {
  if (!(target instanceof HTMLInputElement) || target.name !== 'q') return;
  const words = target.value.toLowerCase().split(/\s+/);
  for (const label of /** @type {Iterable<HTMLElement>} */ (form.querySelectorAll('[data-found-by]'))) {
    const box = label.querySelector('input');
    label.hidden = !box?.checked && !words.every((word) => label.dataset.foundBy?.includes(word));
  }
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  update();
});

result.addEventListener('click', async ({ target }) => {
  if (!(target instanceof HTMLElement) || !target.dataset.copy) return;
  const code = document.getElementById(target.dataset.copy);
  if (!code) return;
  const { dataset } = target;
  const label = (dataset.label ||= target.textContent || '');
  let feedback = dataset.done;
  try {
    await navigator.clipboard.writeText(code.textContent || '');
  } catch {
    // Without permission, selects the code for the visitor to copy.
    getSelection()?.selectAllChildren(code);
    feedback = dataset.press?.replace('Ctrl', /Mac|iP/.test(navigator.platform) ? '⌘' : 'Ctrl');
  }
  target.textContent = feedback || label;
  clearTimeout(labels.get(target));
  labels.set(target, setTimeout(() => (target.textContent = label), FEEDBACK_MS));
});

const button = form.querySelector('.do');
if (button instanceof HTMLElement) button.hidden = true;
prepare();
