// @ts-check
/**
 * The configurator asks the server anew with each choice, and finds markets while one types.
 *
 * Without this the form does the same with a button. The server writes all code that is copied.
 */

import { load } from './page.js';

/** A pause in typing, after which the server is asked. */
const PAUSE_MS = 150;

/** How long a button says what it did. */
const SAID_MS = 2_000;

/** Buttons that say what they did, with the timers that end it. @type {Map<HTMLElement, number>} */
const labels = new Map();

const form = /** @type {HTMLFormElement} */ (document.getElementById('wish'));
const result = /** @type {HTMLElement} */ (document.getElementById('result'));

/** The markets that are picked, in the order in which they were. @type {string[]} */
let picked = boxes().filter((box) => box.checked).map((box) => box.value);
let turn = 0;
let timer = 0;

function boxes() {
  return /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll('input[name="m"]')]);
}

/** What is chosen, as the address of this page; what is usual is left out. */
function query() {
  const query = new URLSearchParams();
  /** @type {string[]} */
  const columns = [];
  for (const [name, value] of new FormData(form)) {
    if (name === 'columns') columns.push(String(value));
    else if (value !== '' && name !== 'm' && name !== 'q') query.set(name, String(value));
  }
  if (columns.length && columns.join() !== form.dataset.columns) query.set('columns', columns.join());
  if (picked.length) query.set('markets', picked.join());
  return String(query).replaceAll('%2C', ',');
}

/** @param {Document} page */
function show(page) {
  const newer = page.getElementById('result');
  if (!newer) return;
  // A frame that would show the same goes on as it is.
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
  // Some choices exist for one widget alone.
  const look = page.querySelector('.look');
  if (look && !form.querySelector('.look')?.contains(document.activeElement)) form.querySelector('.look')?.replaceWith(look);
  dress();
}

/** Puts the address in that the reader sees, and the buttons that need us. */
function dress() {
  const home = new URL('.', location.href).href.replace(/\/$/, '');
  const told = form.dataset.home || '';
  for (const code of result.querySelectorAll('code')) {
    const text = code.textContent || '';
    if (told && told !== home && text.includes(told)) code.textContent = text.replaceAll(told, home);
  }
  for (const button of /** @type {Iterable<HTMLElement>} */ (result.querySelectorAll('.copy'))) button.hidden = false;
}

async function renew() {
  const now = ++turn;
  const asked = query();
  try {
    const page = await load('widgets?' + asked);
    if (now !== turn) return;
    show(page);
    history.replaceState(null, '', 'widgets?' + asked);
  } catch {
    // The button still does it.
    const button = form.querySelector('.do');
    if (button instanceof HTMLElement) button.hidden = false;
  }
}

form.addEventListener('change', ({ target }) => {
  if (target instanceof HTMLInputElement && target.name === 'm') {
    picked = picked.filter((market) => market !== target.value);
    if (target.checked) picked.push(target.value);
  }
  clearTimeout(timer);
  timer = setTimeout(renew, PAUSE_MS);
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
  renew();
});

result.addEventListener('click', async ({ target }) => {
  if (!(target instanceof HTMLElement) || !target.dataset.copy) return;
  const code = document.getElementById(target.dataset.copy);
  if (!code) return;
  const { dataset } = target;
  const label = (dataset.label ||= target.textContent || '');
  let said = dataset.done;
  try {
    await navigator.clipboard.writeText(code.textContent || '');
  } catch {
    // Without the right to write, the reader's own keys do it.
    getSelection()?.selectAllChildren(code);
    said = dataset.press?.replace('Ctrl', /Mac|iP/.test(navigator.platform) ? '⌘' : 'Ctrl');
  }
  target.textContent = said || label;
  clearTimeout(labels.get(target));
  labels.set(target, setTimeout(() => (target.textContent = label), SAID_MS));
});

const button = form.querySelector('.do');
if (button instanceof HTMLElement) button.hidden = true;
dress();
