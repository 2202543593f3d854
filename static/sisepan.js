// @ts-check
/**
 * Keeps price boards fresh, and brings them to pages of other hosts as <sisepan-board>.
 *
 * A board is complete as the server wrote it; this only writes newer texts into
 * it, and says when they are no longer new. Loads nothing but from its own host,
 * stores nothing, and writes data only as text.
 */

/** @typedef {{basis: string, direction: string, base_price: string, base_at: string}} Change */
/** @typedef {{name: string, last: string, change: string}} Text */
/** @typedef {{market: string, last?: string | null, state?: string, venue?: string, fallback?: boolean, change?: Change | null, received_at?: string | null, confirmed_at?: string | null, text?: Text}} Row */
/** @typedef {{direction: Dict, state: Dict, age: string[], venue: Dict, link: Dict, reason: Dict, base: string, zone: string, hours: number, live: string, off: string}} Words */
/** @typedef {Record<string, string>} Dict */

const HOME = new URL('.', import.meta.url);
const INTERVAL_MS = 500;
/** The server sends something at least this often. */
const HEARTBEAT_MS = 15_000;
const SILENCE_MAX_MS = 2 * HEARTBEAT_MS;
/** Without a connection for this long, a board says that it is not live. */
const DOUBT_MS = 10_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** A hidden page keeps its connection this long. */
const HIDDEN_MAX_MS = 20_000;

/** @param {Element} element @param {string} name @param {string} value */
const mark = (element, name, value) => {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
};

/** @param {Element | null} element @param {string} text */
const write = (element, text) => {
  if (element && element.textContent !== text) element.textContent = text;
};

/** One board in a page. */
class Board {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {Words} */
    this.words = JSON.parse(root.dataset.words || '{}');
    /** @type {Map<string, {tr: HTMLElement, row: Row}>} */
    this.rows = new Map();
    for (const tr of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-market]'))) {
      const market = tr.dataset.market || '';
      this.rows.set(market, { tr, row: { market } });
    }
    this.feed = join(this);
  }

  leave() {
    this.feed.leave(this);
  }

  /** @param {Row} row whole */
  apply(row) {
    const held = this.rows.get(row.market);
    if (!held) return;
    held.row = row;
    const { tr } = held;
    const { words } = this;
    const { change, text } = row;
    const cell = (/** @type {string} */ name) => tr.querySelector(`[data-cell="${name}"]`);
    if (row.state) mark(tr, 'data-state', row.state);
    mark(tr, 'data-direction', change ? change.direction : 'even');
    mark(tr, 'data-confirmed', row.confirmed_at || row.received_at || '');
    if (text) {
      const last = cell('last');
      if (last && last.textContent !== text.last) flash(last);
      write(cell('name'), text.name);
      write(last, text.last);
      write(cell('change'), text.change);
    }
    write(cell('word'), (change && words.direction[change.direction]) || '');
    const title = change
      ? `${words.base} ${group(change.base_price)} · ${moment(change.base_at, words.hours).slice(5, 16).replace('T', ' ')} ${words.zone}`
      : '';
    const over = cell('change')?.parentElement;
    if (over) mark(over, 'title', title);
    write(cell('base'), title);
    this.age(held, Date.now());
    this.root.dispatchEvent(new CustomEvent('sisepan:row', { detail: { row }, bubbles: true }));
  }

  /** Writes the small mark of a row. @param {{tr: HTMLElement, row: Row}} held @param {number} now */
  age({ tr, row }, now) {
    if (!row.state) return;
    const { words } = this;
    const parts = [];
    if (row.fallback && row.venue) parts.push(words.venue[row.venue] || row.venue);
    const at = Date.parse(row.confirmed_at || row.received_at || '');
    if (row.state === 'stale' && at) parts.push(ago(now - at, words.age));
    else if (row.state !== 'live') parts.push(words.state[row.state] || row.state);
    write(tr.querySelector('[data-cell="mark"]'), parts.join(' · '));
  }

  /** @param {{venue: string, state: string, reason?: {code: string} | string | null}} news */
  status(news) {
    const { words } = this;
    for (const element of this.root.querySelectorAll('[data-venue]')) {
      if (element.getAttribute('data-venue') !== news.venue) continue;
      const code = typeof news.reason === 'string' ? news.reason : news.reason?.code;
      const why = code && words.reason[code];
      const link = words.link[news.state];
      mark(element, 'data-state', news.state);
      write(element, [words.venue[news.venue] || news.venue, link && ' ' + link, link && why && ': ' + why].filter(Boolean).join(''));
    }
  }

  /** Once a second. @param {boolean} live @param {number} now @param {number} heard when the server was last heard, 0 for never */
  tick(live, now, heard) {
    const clock = this.root.querySelector('[data-cell="clock"]');
    // Our connection makes no price live: a board is as well off as its best row.
    const best = ['live', 'delayed', 'stale', 'halted'].find((state) => this.root.querySelector(`[data-market][data-state="${state}"]`)) || 'unknown';
    if (heard || !live) mark(this.root, 'data-live', !live ? 'off' : best === 'live' ? 'on' : best);
    if (heard && clock) {
      const time = moment(heard, this.words.hours).slice(11, 19);
      write(clock, live ? this.words.state[best] || this.words.live : `${this.words.off} · ${time}`);
    } else if (!live && clock && !clock.hasAttribute('data-said')) {
      clock.setAttribute('data-said', '');
      write(clock, `${this.words.off} · ${clock.textContent}`);
    }
    for (const held of this.rows.values()) if (held.row.state === 'stale') this.age(held, now);
  }
}

/** One connection, shared by all boards of a page that ask for the same. */
class Feed {
  /** @param {string} query */
  constructor(query) {
    this.url = new URL('api/v1/stream?' + query, HOME);
    this.url.protocol = this.url.protocol.replace('http', 'ws');
    /** @type {Set<Board>} */
    this.boards = new Set();
    /** @type {WebSocket | null} */
    this.socket = null;
    /** The newest row of each market, whole. @type {Map<string, Row>} */
    this.rows = new Map();
    this.epoch = '';
    this.sequence = -1;
    this.heard = 0;
    this.begun = Date.now();
    this.failures = 0;
    this.retry = 0;
    this.over = false;
  }

  /** @param {Board} board */
  leave(board) {
    this.boards.delete(board);
    if (!this.boards.size) this.close();
  }

  open() {
    if (this.socket || this.over || !this.boards.size || document.hidden) return;
    clearTimeout(this.retry);
    this.begun = Date.now();
    this.sequence = -1;
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.heard = Date.now();
      try {
        this.take(JSON.parse(event.data));
      } catch {
        this.again();
      }
    };
    socket.onclose = (event) => {
      if (socket !== this.socket) return;
      this.socket = null;
      this.over = event.code >= 3500 && event.code < 4000;
      this.again();
    };
  }

  close() {
    clearTimeout(this.retry);
    const { socket } = this;
    this.socket = null;
    socket?.close();
  }

  /** Connects anew after a while, with full jitter. @param {number} [wait] */
  again(wait) {
    this.close();
    const most = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.failures++);
    this.retry = setTimeout(() => this.open(), wait ?? Math.random() * most);
  }

  /** @param {any} message */
  take(message) {
    const { type, rows, sequence, epoch } = message;
    if (type === 'closing') {
      const least = Math.min(RETRY_MAX_MS, +message.retry_after_ms || 0);
      return this.again(least * (1 + Math.random() / 2));
    }
    if (type === 'snapshot') {
      this.failures = 0;
      this.sequence = sequence;
      this.epoch = epoch;
      this.rows.clear();
    } else if (type === 'delta' && (message.previous > this.sequence || epoch !== this.epoch)) {
      // Only a new connection's snapshot mends a gap.
      return this.again();
    }
    // Heartbeats and states count on as well, whatever they say.
    if (this.sequence >= 0 && sequence > this.sequence) this.sequence = sequence;
    if (type === 'status') for (const board of this.boards) board.status(message);
    if (type !== 'snapshot' && type !== 'delta') return;
    for (const news of rows) {
      // A delta holds the members that changed; a snapshot leaves out what is usual.
      const row = type === 'delta' ? { ...this.rows.get(news.market), ...news } : news;
      this.rows.set(row.market, row);
      for (const board of this.boards) board.apply(row);
    }
    this.tick(Date.now());
  }

  /** @param {number} now */
  tick(now) {
    if (document.hidden) return;
    if (this.socket && now - Math.max(this.heard, this.begun) > SILENCE_MAX_MS) this.again();
    const live = this.socket?.readyState === 1 && this.sequence >= 0 ? now - this.heard < SILENCE_MAX_MS : now - (this.heard || this.begun) < DOUBT_MS;
    for (const board of this.boards) board.tick(live, now, this.heard);
  }

  /** The page is seen again, or the network is back. */
  wake() {
    if (!this.socket || Date.now() - Math.max(this.heard, this.begun) > SILENCE_MAX_MS) {
      this.close();
      this.failures = 0;
      this.open();
    }
  }
}

/** @type {Map<string, Feed>} */
const feeds = new Map();

/** @param {Board} board */
function join(board) {
  const { lang, dataset } = board.root;
  const query = new URLSearchParams({ lang, interval_ms: String(INTERVAL_MS) });
  for (const name of ['board', 'basis', 'markets']) {
    const value = dataset[name];
    // A list of markets stands alone: it names more than its board.
    if (value) query.set(name, value);
  }
  const key = String(query);
  const feed = feeds.get(key) || new Feed(key);
  feeds.set(key, feed);
  feed.boards.add(board);
  board.feed = feed;
  for (const row of feed.rows.values()) board.apply(row);
  feed.open();
  return feed;
}

/** @param {Element} element */
function flash(element) {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  element.animate?.([{ backgroundColor: 'var(--flash)', boxShadow: '0 0 0 .15em var(--flash)' }, {}], 900);
}

/** @param {string} price as the feed writes it */
function group(price) {
  const [whole, fraction = ''] = price.split('.');
  const rest = fraction.replace(/0+$/, '');
  return whole.replace(/\B(?=(\d{3})+$)/g, ',') + (rest && '.' + rest);
}

/** @param {string | number} at @param {number} hours east of UTC */
function moment(at, hours) {
  const time = new Date(at).getTime() + hours * 3_600_000;
  return isNaN(time) ? '' : new Date(time).toISOString();
}

/** @param {number} ms @param {string[]} patterns for seconds, minutes, hours, days */
function ago(ms, patterns) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [count, unit] = seconds < 60 ? [seconds, 0] : seconds < 3600 ? [seconds / 60, 1] : seconds < 86_400 ? [seconds / 3600, 2] : [seconds / 86_400, 3];
  return patterns[unit].replace('#', String(Math.floor(count)));
}

const OPTIONS = ['board', 'markets', 'lang', 'theme', 'colors', 'basis', 'size'];

/** @type {Promise<CSSStyleSheet> | undefined} */
let style;

async function sheet() {
  const answer = await fetch(new URL('sisepan.css', HOME));
  if (!answer.ok) throw new Error('style sheet: ' + answer.status);
  return new CSSStyleSheet().replace(await answer.text());
}

/** A board on a page of any host. What stands inside is shown until the board is there. */
class SisepanBoard extends HTMLElement {
  static observedAttributes = OPTIONS;
  /** @type {Board | undefined} */
  board;
  /** Counts the fetches, so that only the newest is shown. */
  turn = 0;
  failures = 0;

  connectedCallback() {
    const included = /** @type {HTMLElement | null} */ (this.querySelector('.sisepan'));
    if (included) this.board = new Board(included);
    else this.fill();
  }

  disconnectedCallback() {
    this.turn++;
    this.board?.leave();
    this.board = undefined;
  }

  attributeChangedCallback() {
    if (this.board && !this.board.root.closest('sisepan-board')) this.fill();
  }

  async fill() {
    const turn = ++this.turn;
    const query = new URLSearchParams();
    for (const name of OPTIONS) {
      const value = this.getAttribute(name);
      if (value) query.set(name, value);
    }
    try {
      const [css, answer] = await Promise.all([(style ??= sheet()), fetch(new URL('fragment/board?' + query, HOME))]);
      if (turn !== this.turn) return;
      // A refusal is for whoever wrote the page.
      if (answer.status < 500 && !answer.ok) return console.error('sisepan-board:', new DOMParser().parseFromString(await answer.text(), 'text/html').body.textContent?.trim());
      if (!answer.ok) throw new Error('board: ' + answer.status);
      // Parsed into a document of its own, where nothing runs; escaped by the server.
      const root = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('.sisepan');
      if (!root || turn !== this.turn) return;
      const shadow = this.shadowRoot || this.attachShadow({ mode: 'open' });
      const host = new CSSStyleSheet();
      host.replaceSync(':host{display:block}:host([hidden]){display:none}');
      shadow.adoptedStyleSheets = [host, css];
      this.board?.leave();
      shadow.replaceChildren(document.importNode(root, true));
      this.failures = 0;
      this.board = new Board(/** @type {HTMLElement} */ (shadow.firstElementChild));
    } catch {
      style = undefined;
      const most = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.failures++);
      if (turn === this.turn) setTimeout(() => turn === this.turn && this.fill(), Math.random() * most);
    }
  }
}

if (!customElements.get('sisepan-board')) {
  customElements.define('sisepan-board', SisepanBoard);
  for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.sisepan'))) {
    if (!root.closest('sisepan-board')) new Board(root);
  }

  setInterval(() => feeds.forEach((feed) => feed.tick(Date.now())), 1000);

  const wake = () => document.hidden || feeds.forEach((feed) => feed.wake());
  let asleep = 0;
  document.addEventListener('visibilitychange', () => {
    clearTimeout(asleep);
    if (document.hidden) asleep = setTimeout(() => feeds.forEach((feed) => feed.close()), HIDDEN_MAX_MS);
    else wake();
  });
  addEventListener('pageshow', wake);
  addEventListener('online', wake);
  addEventListener('pagehide', () => feeds.forEach((feed) => feed.close()));

  if (parent !== self) {
    const tell = () => parent.postMessage({ type: 'sisepan:height', height: document.documentElement.offsetHeight }, '*');
    new ResizeObserver(tell).observe(document.documentElement);
  }
  addEventListener('message', ({ data, source }) => {
    if (data?.type !== 'sisepan:height' || !(data.height > 0 && data.height < 10_000)) return;
    for (const frame of document.querySelectorAll('iframe')) {
      if (frame.contentWindow === source && frame.src.startsWith(HOME.href)) frame.style.height = Math.ceil(data.height) + 'px';
    }
  });
}
