// @ts-check
/**
 * Brings a widget whose shape changes with time anew from the server: an order, a sparkline.
 *
 * Texts follow the stream meanwhile, as everywhere. The root stays, and so do focus and what was opened.
 */

/** @param {import('./internal').Widget} widget @param {import('./internal').Kit} kit */
export function refresh(widget, kit) {
  const { root, host } = widget;
  const every = Math.max(1, Number(root.dataset.refresh)) * 1000;
  let fetched = Date.now();
  let tag = '';
  let is_busy = false;

  const renew = async () => {
    if (is_busy || !widget.seen || document.hidden || Date.now() - fetched < every) return;
    // Nobody's finger is on a plot that is just being read.
    if (root.querySelector('[data-probe] :is(:focus, :hover)')) return;
    is_busy = true;
    fetched = Date.now();
    try {
      const answer = await fetch(new URL(`fragment/${root.dataset.widget}?${root.dataset.query || ''}`, kit.home), { cache: 'no-cache' });
      const newer = answer.ok && answer.headers.get('etag') !== tag ? kit.parse(await answer.text()) : null;
      tag = answer.headers.get('etag') || 'none';
      if (newer && root.isConnected) replace(root, newer);
      if (newer) {
        widget.index();
        host.dispatchEvent(new CustomEvent('sisepan:renew'));
      }
    } catch {
      // The next time comes by itself; what is there stays.
    }
    is_busy = false;
  };
  const timer = setInterval(renew, Math.min(every, 5_000));
  host.addEventListener('sisepan:see', renew);
  host.addEventListener('sisepan:leave', () => clearInterval(timer), { once: true });
}

/** @param {HTMLElement} root @param {HTMLElement} newer */
function replace(root, newer) {
  const scope = /** @type {Document | ShadowRoot} */ (root.getRootNode());
  const { activeElement } = scope;
  const place = activeElement && root.contains(activeElement) ? path(root, activeElement) : null;
  const opened = [...root.querySelectorAll('details')].map((details) => details.open);
  for (const name of ['data-markets', 'data-words', 'data-state', 'data-direction']) {
    const value = newer.getAttribute(name);
    if (value === null) root.removeAttribute(name);
    else root.setAttribute(name, value);
  }
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
