// @ts-check
/**
 * Announces price changes to screen readers. Off until the visitor turns it on, since announcements would
 * interrupt the reading of the page.
 */

/** Minimum time between two announcements. */
const EVERY_MS = 10_000;
/** Maximum number of markets in an announcement. */
const MARKETS_MAX = 3;

/** @type {Record<string, {speak: string, won: string}>} */
const WORDS = {
  ko: { speak: '가격 변동 읽어 주기', won: '원' },
  en: { speak: 'Read price changes aloud', won: ' won' },
  ja: { speak: '価格の変化を読み上げる', won: 'ウォン' },
};

/** The values of an on/off option that mean on; the server accepts the same. */
const ON = ['', 'on', 'true'];

/**
 * Adds the button to a widget if `option` is on: the query parameter of an embed page, else the nearest attribute.
 *
 * @type {(widget: import('./internal').Widget, kit: import('./internal').Kit, option?: string | null) => void}
 */
export function run({ root, host, signal, rows }, _, option) {
  const near = host.closest('[announce],[data-announce]');
  option ??= near && (near.getAttribute('announce') ?? near.getAttribute('data-announce'));
  if (!ON.includes(option ?? 'off') || root.querySelector('[data-say]')) return;
  const words = WORDS[root.lang] || WORDS.en;
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'announce';
  button.textContent = words.speak;
  button.setAttribute('aria-pressed', 'false');
  const region = document.createElement('span');
  region.setAttribute('data-say', '');
  region.setAttribute('role', 'status');
  button.dataset.added = region.dataset.added = '';
  root.append(button, region);

  /** Markets whose price changed since the last announcement. @type {Set<string>} */
  const changed = new Set();
  /** @type {Map<string, string>} */
  const known = new Map();
  let timer = 0;
  const is_on = () => button.getAttribute('aria-pressed') === 'true';

  const announce = () => {
    timer = 0;
    if (!is_on() || root.ownerDocument.hidden) return;
    const spoken = [...changed].slice(0, MARKETS_MAX).map((market) => sentence(rows, market, words.won));
    changed.clear();
    if (spoken.length) {
      region.textContent = spoken.join('. ');
      timer = setTimeout(announce, EVERY_MS);
    }
  };
  button.addEventListener('click', () => {
    button.setAttribute('aria-pressed', String(!is_on()));
    if (is_on()) for (const market of rows.keys()) changed.add(market);
    else region.textContent = '';
    if (!timer) announce();
  });
  host.addEventListener('sisepan:row', (event) => {
    const { row } = /** @type {CustomEvent} */ (event).detail;
    if (known.get(row.market) === row.last) return;
    known.set(row.market, row.last);
    changed.add(row.market);
    if (!timer && is_on()) timer = setTimeout(announce, 0);
  }, { signal });
  // A reload of the widget has removed the button.
  host.addEventListener('sisepan:renew', () => root.append(button, region), { signal });
  signal.addEventListener('abort', () => clearTimeout(timer));
}

/** Returns the sentence for a market: 비트코인 142,187,000원 2.08% 상승. @param {import('./internal').Widget['rows']} rows @param {string} market @param {string} won */
function sentence(rows, market, won) {
  const held = rows.get(market);
  const cell = (/** @type {string} */ name) => held?.at[0].querySelector(`[data-cell="${name}"]`)?.textContent?.trim() || '';
  const unit = market.endsWith('-KRW') ? won : ' ' + market.split('-')[1];
  const name = cell('name') || held?.row.text?.name || market;
  const word = cell('word');
  const change = word ? cell('change').replace(/^[+\-−]/, '') : cell('change');
  const last = cell('last');
  return [name, last + (/\d$/.test(last) ? unit : ''), change, word, cell('mark')].filter(Boolean).join(' ');
}
