// @ts-check
/**
 * Brings a widget whose shape changes with time anew from the server: an order, a sparkline.
 *
 * Texts follow the stream meanwhile, as everywhere. The root stays, and so do focus and what was opened.
 */

/** How often it is looked at whether it is time. */
const STEP_MS = 1_000;
const RETRY_MS = 5_000;

/** The widgets that are renewed here, and whether the server has something else for one, whatever the time. @type {WeakMap<import('./internal').Widget, boolean>} */
const due = new WeakMap();

/** Renews a widget as often as it asks for; a call for one that does not ask, and each call after the first, renews it once. @param {import('./internal').Widget} widget @param {import('./internal').Kit} kit */
export function run(widget, kit) {
  const { root, host, signal } = widget;
  const is_running = due.has(widget);
  due.set(widget, is_running || !root.dataset.refresh);
  if (is_running) return;
  let fetched = widget.since;
  let was = '';
  let is_busy = false;

  const renew = async () => {
    const every = Math.max(1, Number(root.dataset.refresh || Infinity)) * 1000;
    // Not to be undone by what else ends well.
    if (due.get(widget)) widget.lost ||= Date.now();
    // After a failure it is tried again soon.
    const wait = widget.lost ? Math.min(every, RETRY_MS) : every;
    if (is_busy || !widget.seen || root.ownerDocument.hidden || Date.now() - fetched < wait) return;
    // Nobody's finger is on a plot that is just being read.
    if (root.querySelector('[data-probe] :is(:focus, :hover)')) return;
    is_busy = true;
    fetched = Date.now();
    try {
      const { response } = await kit.get(`fragment/${root.dataset.widget}?${root.dataset.query || ''}`, signal);
      const newer = /** @type {HTMLElement | null} */ (response.querySelector('.sisepan'));
      if (!newer || signal.aborted) throw response;
      const html = newer.outerHTML;
      if (html !== was) {
        was = html;
        replace(root, newer);
        widget.index();
        widget.since = fetched;
        host.dispatchEvent(new CustomEvent('sisepan:renew'));
      }
      widget.lost = 0;
      due.set(widget, false);
    } catch {
      // What is there stays, and says that it is not live.
      if (!signal.aborted) widget.lost ||= Date.now();
    }
    is_busy = false;
  };
  const timer = setInterval(renew, STEP_MS);
  host.addEventListener('sisepan:see', renew, { signal });
  signal.addEventListener('abort', () => clearInterval(timer));
}

/** @param {HTMLElement} root @param {HTMLElement} newer */
function replace(root, newer) {
  const scope = /** @type {Document | ShadowRoot} */ (root.getRootNode());
  const { activeElement } = scope;
  const place = activeElement && root.contains(activeElement) ? path(root, activeElement) : null;
  const opened = [...root.querySelectorAll('details')].map((details) => details.open);
  for (const name of ['data-markets', 'data-words', 'data-state', 'data-direction', 'data-refresh']) {
    const value = newer.getAttribute(name);
    if (value === null) root.removeAttribute(name);
    else root.setAttribute(name, value);
  }
  // What the time says is written anew in a moment; until then nothing beside it may move.
  const clocks = [...root.querySelectorAll('[data-cell="clock"]')].map((clock) => clock.textContent);
  newer.querySelectorAll('[data-cell="clock"]').forEach((clock, at) => (clock.textContent = clocks[at] ?? clock.textContent));
  root.replaceChildren(...newer.childNodes);
  root.querySelectorAll('details').forEach((details, at) => (details.open = opened[at] ?? details.open));
  if (!place) return;
  const again = /** @type {HTMLElement | null} */ (root.querySelector(place));
  again?.focus({ preventScroll: true });
}

/** Where an element stands: by its market if it has one, for an order may change. @param {Element} root @param {Element} element */
function path(root, element) {
  const steps = [];
  for (let at = element; at !== root && at.parentElement; at = at.parentElement) {
    const market = at.getAttribute('data-market');
    if (market) {
      steps.unshift(`[data-market="${CSS.escape(market)}"]`);
      return steps.join(' > ');
    }
    const same = [...at.parentElement.children].filter((other) => other.localName === at.localName);
    steps.unshift(`${at.localName}:nth-of-type(${same.indexOf(at) + 1})`);
  }
  return ':scope > ' + steps.join(' > ');
}
