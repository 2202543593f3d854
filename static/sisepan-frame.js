// @ts-check
/**
 * Messages between an embed page and the page around it: the height of the frame, and the theme of the page.
 *
 * Works with an opaque origin (`sandbox="allow-scripts"`): the messages contain nothing confidential.
 */

const HEIGHT_MAX = 10_000;

/** Runs in the embed page: sends its height, and follows the theme of the page around it. @param {Map<Element, import('./internal').Widget>} widgets @param {import('./internal').Kit} kit */
export function inside(widgets, kit) {
  const page = document.documentElement;
  const send_height = () => parent.postMessage({ type: 'sisepan:height', height: page.offsetHeight }, '*');
  if (parent !== self) {
    // Before its style sheet is loaded, the page is too high.
    const watch = () => new ResizeObserver(send_height).observe(page);
    if (document.readyState === 'complete') watch();
    else addEventListener('load', watch);
  }

  // Only elements with the theme `auto` follow the page around the frame.
  const automatic = [page, ...widgets.keys()].filter((element) => element.getAttribute('data-theme') === 'auto');
  addEventListener('message', ({ data, source }) => {
    if (source !== parent || data?.type !== 'sisepan:theme' || !['auto', 'light', 'dark'].includes(data.theme)) return;
    for (const element of automatic) element.setAttribute('data-theme', data.theme);
  });

  const option = new URLSearchParams(location.search).get('announce');
  if (option !== null) import('./sisepan-announce.js').then((it) => widgets.forEach((widget) => it.run(widget, kit, option)));
}

/** The last theme sent to each frame. @type {Map<HTMLIFrameElement, string>} */
const frames = new Map();

/** Runs in the page around the frame: applies the height. @param {MessageEvent} event the message with the height @param {import('./internal').Kit} kit */
export function fit({ data: { height }, source }, kit) {
  if (!(height > 0 && height < HEIGHT_MAX)) return;
  for (const frame of document.querySelectorAll('iframe')) {
    if (frame.contentWindow !== source || !frame.src.startsWith(kit.home.href)) continue;
    const wanted = Math.ceil(height) + 'px';
    if (frame.style.minHeight !== wanted) frame.style.minHeight = wanted;
    // The frame may have been reloaded, in which case it has not got the theme yet.
    frames.set(frame, 'auto');
    watch();
    send_themes();
  }
}

/** Sends the theme to the frames, according to the `color-scheme` of the page. */
function send_themes() {
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

/** Observes the current body, which a framework may have replaced; observing an element again has no effect. */
function watch() {
  changes.observe(document.body, { attributes: true });
  changes.observe(document.documentElement, { attributes: true, childList: true });
}

const changes = new MutationObserver((records) => {
  if (records.some(({ type }) => type === 'childList')) watch();
  send_themes();
});
