// @ts-check
/**
 * What a frame of ours and the page around it tell each other: its height, and the page's theme.
 *
 * Works without an origin (`sandbox="allow-scripts"`): neither message holds anything that somebody could not know.
 */

const HEIGHT_MAX = 10_000;

/** In the frame. @param {Map<Element, import('./internal').Widget>} widgets @param {import('./internal').Kit} kit */
export function inside(widgets, kit) {
  const page = document.documentElement;
  const tell = () => parent.postMessage({ type: 'sisepan:height', height: page.offsetHeight }, '*');
  if (parent !== self) {
    // Without its style sheet a page is higher than it will be.
    const watch = () => new ResizeObserver(tell).observe(page);
    if (document.readyState === 'complete') watch();
    else addEventListener('load', watch);
  }

  // Only what follows the reader's system may follow the page.
  const free = [page, ...widgets.keys()].filter((element) => element.getAttribute('data-theme') === 'auto');
  addEventListener('message', ({ data, source }) => {
    if (source !== parent || data?.type !== 'sisepan:theme' || !['auto', 'light', 'dark'].includes(data.theme)) return;
    for (const element of free) element.setAttribute('data-theme', data.theme);
  });

  const option = new URLSearchParams(location.search).get('announce');
  if (option !== null) import('./sisepan-announce.js').then((it) => widgets.forEach((widget) => it.run(widget, kit, option)));
}

/** What each frame was told last. @type {Map<HTMLIFrameElement, string>} */
const frames = new Map();

/** In the page around it. @param {MessageEvent} event a frame's height @param {import('./internal').Kit} kit */
export function fit({ data: { height }, source }, kit) {
  if (!(height > 0 && height < HEIGHT_MAX)) return;
  for (const frame of document.querySelectorAll('iframe')) {
    if (frame.contentWindow !== source || !frame.src.startsWith(kit.home.href)) continue;
    const wanted = Math.ceil(height) + 'px';
    if (frame.style.minHeight !== wanted) frame.style.minHeight = wanted;
    // It may be a frame that was loaded anew: it was told nothing yet.
    frames.set(frame, 'auto');
    watch();
    dress();
  }
}

/** Tells the frames on which ground they stand: `color-scheme` is how a page says it. */
function dress() {
  for (const [frame, was] of frames) {
    if (!frame.isConnected) {
      frames.delete(frame);
      continue;
    }
    const scheme = getComputedStyle(frame).colorScheme.replace('only', '').trim();
    const theme = scheme === 'dark' || scheme === 'light' ? scheme : 'auto';
    if (theme === was) continue;
    frames.set(frame, theme);
    frame.contentWindow?.postMessage({ type: 'sisepan:theme', theme }, '*');
  }
}

/** A framework may have replaced the body: to observe an element twice is to observe it once. */
function watch() {
  changes.observe(document.body, { attributes: true });
  changes.observe(document.documentElement, { attributes: true, childList: true });
}

const changes = new MutationObserver((records) => {
  if (records.some(({ type }) => type === 'childList')) watch();
  dress();
});
