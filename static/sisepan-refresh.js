// @ts-check
/**
 * Reloads widgets with content that the stream does not update, such as a ranking or a sparkline.
 *
 * Between reloads, texts follow the stream as usual. The root element, the focus and open details are kept.
 */

/** Interval of the check whether a reload is due. */
const STEP_MS = 1_000;
const RETRY_MS = 5_000;

/** The widgets reloaded here, and whether one must be reloaded as soon as possible. @type {WeakMap<import('./internal').Widget, boolean>} */
const due = new WeakMap();

/** Reloads a widget every `data-refresh` seconds. Without that attribute, and on each further call, reloads it once. @param {import('./internal').Widget} widget @param {import('./internal').Kit} kit */
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
    // Set again here, since a reload that was already in progress may have reset it.
    if (due.get(widget)) widget.lost ||= Date.now();
    // After a failure, retries soon.
    const wait = widget.lost ? Math.min(every, RETRY_MS) : every;
    if (is_busy || !widget.seen || root.ownerDocument.hidden || Date.now() - fetched < wait) return;
    // Not while a visitor reads a point of a plot.
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
      // The content stays, and is marked as not live.
      if (!signal.aborted) widget.lost ||= Date.now();
    }
    is_busy = false;
  };
  const timer = setInterval(renew, STEP_MS);
  host.addEventListener('sisepan:see', renew, { signal });
  signal.addEventListener('abort', () => clearInterval(timer));
}

/** Replaces the content of a widget. @param {HTMLElement} root @param {HTMLElement} newer */
function replace(root, newer) {
  const scope = /** @type {Document | ShadowRoot} */ (root.getRootNode());
  const { activeElement } = scope;
  const focus_path = activeElement && root.contains(activeElement) ? path(root, activeElement) : null;
  const opened = [...root.querySelectorAll('details')].map((details) => details.open);
  for (const name of ['data-markets', 'data-words', 'data-state', 'data-direction', 'data-refresh']) {
    const value = newer.getAttribute(name);
    if (value === null) root.removeAttribute(name);
    else root.setAttribute(name, value);
  }
  // Keeps the texts of the clocks until they are updated, so that nothing beside them moves.
  const clocks = [...root.querySelectorAll('[data-cell="clock"]')].map((clock) => clock.textContent);
  newer.querySelectorAll('[data-cell="clock"]').forEach((clock, at) => (clock.textContent = clocks[at] ?? clock.textContent));
  root.replaceChildren(...newer.childNodes);
  root.querySelectorAll('details').forEach((details, at) => (details.open = opened[at] ?? details.open));
  if (!focus_path) return;
  const focused = /** @type {HTMLElement | null} */ (root.querySelector(focus_path));
  focused?.focus({ preventScroll: true });
}

/** Returns a selector for an element: by its market if it has one, since rows may be reordered. @param {Element} root @param {Element} element */
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
