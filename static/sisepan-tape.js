// @ts-check
/**
 * Moves the line of a tape, if it does not fit.
 *
 * It stands while a pointer or the focus is on it, while its button is pressed,
 * while nobody sees it, and always for readers who asked their system for less motion.
 */

/** Pixels a second: slow enough to read. */
const SPEED = 36;

/** @param {import('./internal').Widget} widget */
export function run(widget) {
  const { root, host, signal } = widget;
  const track = /** @type {HTMLElement | null} */ (root.querySelector('[data-track]'));
  const button = /** @type {HTMLElement | null} */ (root.querySelector('[data-pause]'));
  if (!track) return;
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  const first = /** @type {HTMLElement[]} */ ([...track.children]);
  // The track is what the line is seen through; readers may scroll it as well.
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
  /** Why it stands. @type {Set<string>} */
  const reasons = new Set();
  if (button?.getAttribute('aria-pressed') === 'true') reasons.add('button');
  if (!widget.seen) reasons.add('unseen');

  const stand = (/** @type {string} */ why, /** @type {boolean} */ yes) => {
    if (yes) reasons.add(why);
    else reasons.delete(why);
    if (reasons.size) motion?.pause();
    else motion?.play();
  };

  /** Width of one copy, the gap to the next included; 0 where it fits. */
  const length = () => {
    const [a, z] = [first[0], first[first.length - 1]].map((element) => element.getBoundingClientRect());
    const gap = parseFloat(line.style.columnGap) || 0;
    const width = Math.max(a.right, z.right) - Math.min(a.left, z.left);
    return width > track.clientWidth ? width + gap : 0;
  };

  let width = NaN;
  const lay = () => {
    if (!first.length) return;
    const wanted = still.matches ? 0 : Math.round(length());
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
      const way = getComputedStyle(track).direction === 'rtl' ? 1 : -1;
      motion = line.animate([{ transform: 'none' }, { transform: `translateX(${way * width}px)` }], { duration: (width / SPEED) * 1000, iterations: Infinity });
      motion.currentTime = (progress * width * 1000) / SPEED;
    }
    stand('', false);
    widget.index();
  };

  root.addEventListener('pointerenter', () => stand('pointer', true), { signal });
  root.addEventListener('pointerleave', () => stand('pointer', false), { signal });
  root.addEventListener('focusin', ({ target }) => stand('focus', target !== button), { signal });
  root.addEventListener('focusout', () => stand('focus', false), { signal });
  button?.addEventListener('click', () => {
    const pressed = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(pressed));
    stand('button', pressed);
  }, { signal });
  host.addEventListener('sisepan:see', () => stand('unseen', !widget.seen), { signal });
  still.addEventListener('change', lay, { signal });
  const sizes = new ResizeObserver(lay);
  for (const element of [track, ...first]) sizes.observe(element);
  signal.addEventListener('abort', () => {
    sizes.disconnect();
    motion?.cancel();
    root.removeAttribute('data-moving');
    if (button) button.hidden = true;
  });
}
