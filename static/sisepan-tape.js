// @ts-check
/**
 * Scrolls the line of a tape if it does not fit.
 *
 * The tape is paused while the pointer or the focus is on it, while its button is pressed and while it is
 * off screen. It never moves for visitors whose system requests reduced motion.
 */

/** Speed in pixels per second, slow enough to read. */
const SPEED = 36;

/** @param {import('./internal').Widget} widget */
export function run(widget) {
  const { root, host, signal } = widget;
  const track = /** @type {HTMLElement | null} */ (root.querySelector('[data-track]'));
  const button = /** @type {HTMLElement | null} */ (root.querySelector('[data-pause]'));
  if (!track) return;
  const reduced = matchMedia('(prefers-reduced-motion: reduce)');
  const first = /** @type {HTMLElement[]} */ ([...track.children]);
  // The track is the viewport of the line; visitors can scroll it, too.
  const line = document.createElement('div');
  line.setAttribute('role', 'none');
  line.dataset.added = 'wrap';
  line.style.display = 'flex';
  line.style.columnGap = getComputedStyle(track).columnGap;
  line.append(...first);
  track.append(line);
  /** @type {Element[]} */
  let copies = [];
  /** @type {Animation | undefined} */
  let motion;
  /** The reasons for which it is paused. @type {Set<string>} */
  const reasons = new Set();
  if (button?.getAttribute('aria-pressed') === 'true') reasons.add('button');
  if (!widget.seen) reasons.add('unseen');

  const set_paused = (/** @type {string} */ why, /** @type {boolean} */ yes) => {
    if (yes) reasons.add(why);
    else reasons.delete(why);
    if (reasons.size) motion?.pause();
    else motion?.play();
  };

  /** Returns the width of the line including the gap to its copy, or 0 if it fits. */
  const length = () => {
    const [a, z] = [first[0], first[first.length - 1]].map((element) => element.getBoundingClientRect());
    const gap = parseFloat(line.style.columnGap) || 0;
    const width = Math.max(a.right, z.right) - Math.min(a.left, z.left);
    return width > track.clientWidth ? width + gap : 0;
  };

  let width = NaN;
  const layout = () => {
    if (!first.length) return;
    const wanted = reduced.matches ? 0 : Math.round(length());
    if (Math.abs(wanted - width) < 2) return;
    const progress = motion?.effect?.getComputedTiming().progress ?? 0;
    width = wanted;
    motion?.cancel();
    motion = undefined;
    root.toggleAttribute('data-moving', width > 0);
    if (button) button.hidden = !width;
    if (!width) {
      for (const copy of copies.splice(0)) copy.remove();
    } else {
      if (!copies.length) {
        copies = first.map((element) => {
          const copy = /** @type {HTMLElement} */ (element.cloneNode(true));
          copy.setAttribute('aria-hidden', 'true');
          copy.inert = true;
          copy.dataset.added = '';
          return copy;
        });
        line.append(...copies);
      }
      const sign = getComputedStyle(track).direction === 'rtl' ? 1 : -1;
      motion = line.animate([{ transform: 'none' }, { transform: `translateX(${sign * width}px)` }], { duration: (width / SPEED) * 1000, iterations: Infinity });
      motion.currentTime = (progress * width * 1000) / SPEED;
    }
    set_paused('', false);
    widget.index();
  };

  root.addEventListener('pointerenter', () => set_paused('pointer', true), { signal });
  root.addEventListener('pointerleave', () => set_paused('pointer', false), { signal });
  root.addEventListener('focusin', ({ target }) => set_paused('focus', target !== button), { signal });
  root.addEventListener('focusout', () => set_paused('focus', false), { signal });
  button?.addEventListener('click', () => {
    const pressed = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(pressed));
    set_paused('button', pressed);
  }, { signal });
  host.addEventListener('sisepan:see', () => set_paused('unseen', !widget.seen), { signal });
  reduced.addEventListener('change', layout, { signal });
  const sizes = new ResizeObserver(layout);
  for (const element of [track, ...first]) sizes.observe(element);
  signal.addEventListener('abort', () => {
    sizes.disconnect();
    motion?.cancel();
    root.removeAttribute('data-moving');
    if (button) button.hidden = true;
  });
}
