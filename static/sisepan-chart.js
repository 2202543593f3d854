// @ts-check
/**
 * Reads out single points of a plot: under the pointer, under a finger, and step by step with the arrow keys.
 *
 * A transparent slider covers the plot, so every input method of a slider works.
 * The prices are those that the server wrote into the attributes of the plot.
 */

/** @typedef {import('./internal').Widget} Widget */
/** @typedef {import('./internal').Kit} Kit */
/** @param {Widget} widget @param {Kit} kit */
export function run(widget, kit) {
  const { root, signal } = widget;
  const enhance = () => {
    for (const plot of /** @type {Iterable<SVGSVGElement>} */ (root.querySelectorAll('svg.plot'))) {
      if (plot.dataset.close && !plot.closest('[data-probe]')) probe(widget, kit, plot);
    }
  };
  enhance();
  // The plot is replaced when the widget is reloaded.
  const changes = new MutationObserver(enhance);
  changes.observe(root, { childList: true, subtree: true });
  signal.addEventListener('abort', () => changes.disconnect());
}

/** @param {string} tag @param {Record<string, string>} style */
const part = (tag, style) => {
  const element = document.createElement(tag);
  // Set through the CSSOM, which a policy against inline styles allows.
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  return element;
};

/** @param {Widget} widget @param {Kit} kit @param {SVGSVGElement} plot */
function probe(widget, kit, plot) {
  const { start = '', end = '', step = '', digits = '', close = '' } = plot.dataset;
  const closes = close.split(' ');
  const [from, to] = [Date.parse(start), Date.parse(end)];
  const is_day = to - from < 2 * 86_400_000;

  const wrap = part('div', { position: 'relative' });
  wrap.dataset.probe = '';
  wrap.dataset.added = 'wrap';
  const line = part('div', { position: 'absolute', width: '1px', top: '0', bottom: '2em', background: 'var(--quiet)', 'pointer-events': 'none' });
  const dot = part('div', { position: 'absolute', width: '9px', height: '9px', margin: '-4.5px', 'border-radius': '50%', background: 'var(--ink)', 'pointer-events': 'none' });
  const label = part('div', { position: 'absolute', top: '0', padding: '1px 6px', background: 'var(--ink)', color: 'var(--ground)', 'font-size': '12px', 'line-height': '18px', 'white-space': 'pre', 'pointer-events': 'none' });
  const slider = /** @type {HTMLInputElement} */ (part('input', { position: 'absolute', inset: '0', width: '100%', height: '100%', margin: '0', opacity: '0', cursor: 'crosshair', 'touch-action': 'pan-y' }));
  slider.type = 'range';
  slider.max = slider.value = String(closes.length - 1);
  slider.setAttribute('aria-label', plot.getAttribute('aria-label') || plot.querySelector('title')?.textContent || '');
  const marks = [line, dot, label];
  for (const element of [...marks, slider]) element.dataset.added = '';
  for (const element of marks) {
    element.hidden = true;
    element.setAttribute('aria-hidden', 'true');
  }
  plot.replaceWith(wrap);
  wrap.append(plot, ...marks, slider);

  const time = () => Math.min(to, from + (Number(slider.value) + 1) * Number(step) * 1000);
  const text = () => {
    const iso = kit.moment(time(), widget.words.hours);
    const day = is_day ? '' : `${iso.slice(5, 7)}.${iso.slice(8, 10)} `;
    return `${day}${iso.slice(11, 16)}  ${price(kit, closes[Number(slider.value)], Number(digits))}`;
  };
  slider.setAttribute('aria-valuetext', text());

  const show = () => {
    label.textContent = text();
    slider.setAttribute('aria-valuetext', text());
    for (const element of marks) element.hidden = false;
    const box = wrap.getBoundingClientRect();
    const x = ((time() - from) / (to - from || 1)) * box.width;
    line.style.left = x + 'px';
    const y = closes[Number(slider.value)] === '-' ? null : height(plot, x / box.width);
    dot.hidden = y === null;
    dot.style.left = x + 'px';
    dot.style.top = (y ?? 0) - box.top + 'px';
    label.style.left = Math.max(0, Math.min(box.width - label.offsetWidth, x - label.offsetWidth / 2)) + 'px';
  };
  const hide = () => {
    if (slider.matches(':focus-visible')) show();
    else for (const element of marks) element.hidden = true;
  };
  /** @param {PointerEvent} event */
  const point = ({ clientX }) => {
    const box = wrap.getBoundingClientRect();
    const fraction = Math.max(0, Math.min(1, (clientX - box.left) / box.width));
    slider.value = String(Math.round(fraction * (closes.length - 1)));
    show();
  };
  for (const type of ['pointermove', 'pointerdown']) slider.addEventListener(type, (event) => point(/** @type {PointerEvent} */ (event)));
  for (const type of ['pointerleave', 'pointercancel', 'blur', 'focus']) slider.addEventListener(type, hide);
  slider.addEventListener('input', show);
}

/** Returns the screen y of the line at a fraction of the width, or null in a gap. @param {SVGSVGElement} plot @param {number} fraction */
function height(plot, fraction) {
  const path = /** @type {SVGPathElement | null} */ (plot.querySelector('.line'));
  const matrix = path?.getScreenCTM();
  const width = path?.ownerSVGElement?.viewBox.baseVal.width;
  if (!path || !matrix || !width) return null;
  const x = fraction * width;
  /** @type {number | null} */
  let y = null;
  for (const run of (path.getAttribute('d') || '').split('M')) {
    const points = run.split('L').map((pair) => pair.trim().split(/[ ,]+/).map(Number));
    const next = points.findIndex(([at]) => at >= x);
    if (next < 0 || points[0][0] > x + width / 500) continue;
    const [b, a] = [points[next], points[Math.max(0, next - 1)]];
    y = b[0] === a[0] ? b[1] : a[1] + ((b[1] - a[1]) * (x - a[0])) / (b[0] - a[0]);
  }
  return y === null || Number.isNaN(y) ? null : new DOMPoint(x, y).matrixTransform(matrix).y;
}

/** Formats a price with the number of decimal places of the page. @param {Kit} kit @param {string} close @param {number} digits */
function price(kit, close, digits) {
  if (close === '-') return '–';
  const [whole, fraction = ''] = close.split('.');
  return kit.comma(whole) + (digits ? '.' + fraction.padEnd(digits, '0') : '');
}
