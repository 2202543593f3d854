// @ts-check
/**
 * Keeps price widgets fresh, and brings them to any page as <sisepan-board> and its kin.
 *
 * A widget is complete as the server wrote it; this only writes newer texts into it, and
 * says when they are no longer new. Types, with a word on each member: internal.d.ts.
 */

const HOME = new URL('.', import.meta.url);
const TAGS = ['board', 'tape', 'card', 'ticker', 'movers', 'chart'].map((widget) => 'sisepan-' + widget);
const OPTIONS = 'board markets basis lang theme colors size columns density flash link credit transparent interval span count title'.split(' ');
/** Then a widget says that it is not live. */
const DOUBT_MS = 10_000;
/** The server takes five messages a second. Each waits for the last one's answer, so none meet on the way. */
const PACE_MS = 260;
const RETRY_MS = 1_000;
/** After a loss, everybody comes back. */
const RETURN_MS = 15_000;
const RETRY_MAX_MS = 60_000;
const HIDDEN_MAX_MS = 20_000;

let heartbeat = 15_000;

/** @type {(element: Element, name: string, value: string) => void} */
const mark = (element, name, value) => {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
};

/** @type {(element: Element | null, text: string) => void} */
const write = (element, text) => {
  if (element && element.textContent !== text) element.textContent = text;
};

/** @type {(root: ParentNode, selector: string) => HTMLElement[]} */
const all = (root, selector) => [...root.querySelectorAll(selector)].map((it) => /** @type {HTMLElement} */ (it));

/** @type {(what: unknown) => void} */
const warn = (what) => console.warn('sisepan:', what);

/** @type {import('./internal').Kit} */
const kit = {
  home: HOME,
  comma(price) {
    const [whole, fraction = ''] = price.split('.');
    const rest = fraction.replace(/0+$/, '');
    return whole.replace(/\B(?=(\d{3})+$)/g, ',') + (rest && '.' + rest);
  },
  moment(at, hours) {
    const time = +new Date(at) + hours * 3_600_000;
    return time ? new Date(time).toISOString() : '';
  },
  parse: (html) => new DOMParser().parseFromString(html, 'text/html').querySelector('.sisepan'),
};

/** @type {(first: number, failures: number) => number} */
const jitter = (first, failures) => Math.random() * Math.min(RETRY_MAX_MS, first * 2 ** failures);

/** @type {(ms: number, patterns: string[]) => string} */
const ago = (ms, patterns) => {
  const units = [1, 60, 3600, 86_400];
  const seconds = Math.max(0, ms / 1000);
  const unit = Math.max(0, units.findLastIndex((length) => seconds >= length));
  return patterns[unit].replace('#', String(Math.floor(seconds / units[unit])));
};

/** @type {Map<Element, import('./internal').Widget>} */
const widgets = new Map();

/** Off screen nothing is written; it is made up for when seen. */
const seeing = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) widgets.get(target)?.see(isIntersecting);
});

/** @type {(root: HTMLElement, host?: HTMLElement) => import('./internal').Widget} */
const enliven = (root, host = root) => {
  /** @type {import('./internal').Words} */
  const words = JSON.parse(root.dataset.words || '{}');
  /** @type {import('./internal').Widget} */
  const widget = {
    root,
    host,
    words,
    seen: false,
    rows: new Map(),
    index() {
      this.rows.clear();
      for (const at of [root, ...all(root, '[data-market]')]) {
        const { market } = at.dataset;
        if (!market) continue;
        const held = this.rows.get(market) || { row: { market }, late: false, at: [] };
        held.at.push(at);
        this.rows.set(market, held);
      }
      this.sub?.widgets.delete(this);
      this.sub = link.join(this);
      for (const row of this.sub.rows.values()) this.apply(row);
    },
    leave() {
      this.sub?.widgets.delete(this);
      widgets.delete(root);
      seeing.unobserve(root);
      this.tell('leave');
    },
    see(seen) {
      this.seen = seen;
      if (seen) for (const held of this.rows.values()) this.show(held);
      this.tell('see');
    },
    tell(type, detail) {
      host.dispatchEvent(new CustomEvent('sisepan:' + type, { detail, bubbles: !!detail, composed: true }));
    },
    apply(row) {
      const held = this.rows.get(row.market);
      if (!held) return;
      held.row = row;
      held.late = true;
      if (this.seen) this.show(held);
      this.tell('row', { row });
    },
    show(held) {
      if (!held.late) return;
      held.late = false;
      const { row: { change, text, state, confirmed_at, received_at } } = held;
      const title = change ? `${words.base} ${kit.comma(change.base_price)} · ${kit.moment(change.base_at, words.hours).slice(5, 16).replace('T', ' ')} ${words.zone}` : '';
      for (const at of held.at) {
        const cell = (/** @type {string} */ name) => at.querySelector(`[data-cell="${name}"]`);
        if (state) mark(at, 'data-state', state);
        mark(at, 'data-direction', change ? change.direction : 'even');
        mark(at, 'data-confirmed', confirmed_at || received_at || '');
        if (text) {
          const last = cell('last');
          if (last?.textContent !== text.last && root.dataset.flash !== 'off' && !matchMedia('(prefers-reduced-motion: reduce)').matches) {
            last?.animate([{ backgroundColor: 'var(--flash)', boxShadow: '0 0 0 .15em var(--flash)' }, {}], 900);
          }
          for (const [name, value] of Object.entries(text)) write(cell(name), value);
        }
        write(cell('word'), (change && words.direction[change.direction]) || '');
        write(cell('base'), title);
        const over = cell('change')?.parentElement;
        if (over?.hasAttribute('title')) mark(over, 'title', title);
      }
      this.age(held, Date.now());
    },
    age({ row: { state, fallback, venue, confirmed_at, received_at }, at }, now) {
      if (!state) return;
      const since = Date.parse(confirmed_at || received_at || '');
      const how = state === 'live' ? '' : state === 'stale' && since ? ago(now - since, words.age) : words.state[state] || state;
      const text = [fallback && venue && (words.venue[venue] || venue), how].filter(Boolean).join(' · ');
      for (const element of at) write(element.querySelector('[data-cell="mark"]'), text);
    },
    status({ venue, state, reason }) {
      const why = reason && words.reason?.[reason.code];
      const word = words.link?.[state];
      for (const element of all(root, `[data-venue="${venue}"]`)) {
        mark(element, 'data-state', state);
        write(element, (words.venue[venue] || venue) + (word ? ' ' + word + (why ? ': ' + why : '') : ''));
      }
    },
    tick(live, now, heard) {
      if (!this.seen) return;
      // A connection makes no price live: the best row counts.
      const best = ['live', 'delayed', 'stale', 'halted'].find((state) => root.querySelector(`[data-state="${state}"][data-market]`)) || 'unknown';
      const was = root.dataset.live;
      const is = !live ? 'off' : best === 'live' ? 'on' : best;
      if (was !== is && (heard || !live)) {
        root.dataset.live = is;
        this.tell('live', { live: is });
      }
      for (const clock of all(root, '[data-cell="clock"]')) {
        if (heard) write(clock, live ? words.state[best] || words.live : `${words.off} · ${ago(now - heard, words.age)}`);
        else if (!live && was !== 'off') write(clock, `${words.off} · ${clock.textContent}`);
      }
      for (const held of this.rows.values()) if (held.row.state === 'stale') this.age(held, now);
    },
  };
  widgets.set(root, widget);
  widget.index();
  const { dataset } = root;
  if (dataset.widget === 'tape') import('./sisepan-tape.js').then((it) => it.run(widget), warn);
  if (root.querySelector('.plot')) import('./sisepan-chart.js').then((it) => it.read(widget, kit), warn);
  if (dataset.refresh) import('./sisepan-refresh.js').then((it) => it.refresh(widget, kit), warn);
  if (host.closest('[announce],[data-announce]')) import('./sisepan-announce.js').then((it) => it.announce(widget), warn);
  seeing.observe(root);
  return widget;
};

/** @type {import('./internal').Link} */
const link = {
  subs: new Map(),
  queue: new Set(),
  heard: 0,
  since: Date.now(),
  begun: 0,
  failures: 0,
  strikes: 0,
  retry: 0,
  pace: 0,
  ids: 0,
  asked: 0,
  over: false,
  join(widget) {
    const { lang, dataset: { board, basis, markets, interval } } = widget.root;
    const ask = { board, basis, markets: markets?.split(','), lang, interval_ms: +(interval || 500) };
    const key = JSON.stringify(ask);
    let sub = this.subs.get(key);
    if (!sub) {
      sub = { id: ++this.ids, key, ask, widgets: new Set(), rows: new Map(), epoch: '', sequence: -1, group: '', fresh: false };
      this.subs.set(key, sub);
      this.say(sub);
    }
    sub.widgets.add(widget);
    if (!this.retry) this.open();
    return sub;
  },
  open() {
    if (this.socket || this.over || document.hidden) return;
    clearTimeout(this.retry);
    this.begun = Date.now();
    const url = new URL('api/v1/stream', HOME);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = (this.socket = new WebSocket(url));
    socket.onopen = () => {
      this.queue = new Set(this.subs.values());
      this.asked = 0;
      this.say();
    };
    socket.onmessage = ({ data }) => socket === this.socket && this.take(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (socket !== this.socket) return;
      this.over = code >= 3500 && code < 4000;
      this.again();
    };
  },
  close() {
    clearTimeout(this.retry);
    const { socket } = this;
    this.retry = 0;
    this.socket = undefined;
    if (!this.detour) for (const sub of this.subs.values()) sub.fresh = false;
    socket?.close();
  },
  again(wait) {
    this.strikes = this.heard < this.begun ? this.strikes + 1 : 0;
    this.close();
    if (this.over) return;
    this.retry = setTimeout(() => this.open(), wait ?? jitter(this.heard ? RETURN_MS : RETRY_MS, this.failures++));
    if (this.strikes > 1) import('./sisepan-detour.js').then((it) => (this.detour ||= it.detour(this, kit)), warn);
  },
  say(sub) {
    if (sub) this.queue.add(sub);
    const [next] = this.queue;
    if (this.pace || this.asked || !next || this.socket?.readyState !== 1) return;
    this.queue.delete(next);
    this.asked = next.id;
    const { id, ask, key, epoch, sequence } = next;
    const wanted = { type: 'subscribe', id, ...ask, resume: sequence < 0 ? undefined : { epoch, sequence } };
    this.socket.send(JSON.stringify(this.subs.get(key) === next ? wanted : { type: 'unsubscribe', id }));
    this.pace = setTimeout(() => {
      this.pace = 0;
      this.say();
    }, PACE_MS);
  },
  take(message) {
    const { type, id, group } = message;
    this.heard = Date.now();
    if (type === 'welcome') {
      heartbeat = message.heartbeat_ms;
      this.detour = this.detour?.stop();
    }
    if (type === 'closing') this.again(Math.min(RETRY_MAX_MS, message.retry_after_ms));
    if (type === 'error') warn(message.message);
    if (id === this.asked) {
      this.asked = 0;
      this.say();
    }
    if (group) for (const sub of this.subs.values()) {
      if (sub.id === id) sub.group = group;
      if (sub.group === group) this.put(sub, message);
    }
  },
  put(sub, message) {
    const { type, rows, sequence, epoch } = message;
    if (type === 'snapshot') {
      sub.sequence = sequence;
      sub.epoch = epoch;
    } else if (type === 'delta' && (epoch !== sub.epoch || (!message.recovered && message.previous > sub.sequence))) {
      // Something is missing: ask for it from where we are.
      return this.say(sub);
    }
    // Heartbeats and states count on as well.
    if (epoch === sub.epoch && sequence > sub.sequence) sub.sequence = sequence;
    if (type === 'status') for (const widget of sub.widgets) widget.status(message);
    if (!rows) return;
    sub.fresh = true;
    if (!this.detour) this.failures = 0;
    for (const news of rows) {
      // A delta holds the members that changed; a snapshot leaves out what is usual.
      const row = type === 'delta' ? { ...sub.rows.get(news.market), ...news } : news;
      sub.rows.set(row.market, row);
      for (const widget of sub.widgets) widget.apply(row);
    }
    this.tick(Date.now());
  },
  tick(now) {
    if (document.hidden) return;
    const { socket, heard, begun, since } = this;
    for (const [key, sub] of this.subs) {
      const told = sub.sequence < 0 ? 0 : heard;
      const live = sub.fresh ? now - told < 2 * heartbeat : now - (told || since) < DOUBT_MS;
      for (const widget of sub.widgets) widget.tick(live, now, told);
      if (!sub.widgets.size && this.subs.delete(key)) this.say(sub);
    }
    if (!this.subs.size) this.close();
    else if (socket && now > (heard < begun ? begun + DOUBT_MS : heard + 2 * heartbeat)) this.again();
  },
  wake() {
    if (document.hidden || (this.socket && Date.now() - Math.max(this.heard, this.begun) < 2 * heartbeat)) return;
    this.close();
    this.since = Date.now();
    this.over = false;
    if (this.subs.size) this.open();
  },
  sleep() {
    this.detour = this.detour?.stop();
    this.close();
  },
};

/** @type {Promise<CSSStyleSheet> | undefined} */
let style;

const get = async (/** @type {string} */ where) => {
  const answer = await fetch(new URL(where, HOME));
  if (answer.status > 499) throw answer;
  return { ok: answer.ok, text: await answer.text() };
};

/** What stands inside is shown until the widget is there. */
class Sisepan extends HTMLElement {
  static observedAttributes = OPTIONS;
  /** @type {import('./internal').Widget | undefined} */
  widget;
  turn = 0;
  failures = 0;

  connectedCallback() {
    const odd = this.getAttributeNames().filter((name) => !(OPTIONS.includes(name) || name in this || /^(announce|class|tabindex|aria-|data-)/.test(name)));
    if (odd.length) warn(`<${this.localName}> does not know ${odd}: it takes ${OPTIONS}, announce`);
    const [included] = all(this.shadowRoot || this, '.sisepan');
    if (included) this.widget = enliven(included, this);
    else this.fill();
  }

  disconnectedCallback() {
    this.turn++;
    this.widget?.leave();
    this.widget = undefined;
  }

  attributeChangedCallback() {
    if (this.widget && this.shadowRoot) this.fill();
  }

  async fill() {
    const turn = ++this.turn;
    // Attributes that are set together are asked for once.
    await undefined;
    if (turn !== this.turn) return;
    const query = new URLSearchParams(OPTIONS.filter((name) => this.getAttribute(name)).map((name) => [name, this.getAttribute(name) || '']));
    try {
      style ??= get('sisepan.css').then(({ text }) => new CSSStyleSheet().replace(text));
      const [css, { ok, text }] = await Promise.all([style, get(`fragment/${this.localName.slice(8)}?${query}`)]);
      if (turn !== this.turn) return;
      // A refusal is for whoever wrote the page.
      if (!ok) return console.error(`<${this.localName}>`, text.replace(/<.*?>/g, ''));
      const root = kit.parse(text);
      if (!root) throw text;
      const shadow = this.shadowRoot || this.attachShadow({ mode: 'open' });
      shadow.adoptedStyleSheets = [css];
      this.widget?.leave();
      shadow.replaceChildren(root);
      this.failures = 0;
      this.widget = enliven(root, this);
    } catch {
      style = undefined;
      setTimeout(() => turn === this.turn && this.fill(), jitter(RETRY_MS, this.failures++));
    }
  }
}

if (!customElements.get(TAGS[0])) {
  for (const tag of TAGS) customElements.define(tag, class extends Sisepan {});
  for (const root of all(document, '.sisepan')) if (!root.closest(String(TAGS))) enliven(root);

  setInterval(() => link.tick(Date.now()), 1000);
  let asleep = 0;
  document.addEventListener('visibilitychange', () => {
    clearTimeout(asleep);
    if (document.hidden) asleep = setTimeout(() => link.sleep(), HIDDEN_MAX_MS);
    else link.wake();
  });
  addEventListener('pageshow', () => link.wake());
  addEventListener('online', () => link.wake());
  addEventListener('pagehide', () => link.sleep());

  // Frames of ours tell their height; the page around them tells its theme.
  addEventListener('message', (event) => event.data?.type === 'sisepan:height' && import('./sisepan-frame.js').then((it) => it.fit(event, kit), warn));
  if (document.querySelector('html.embed')) import('./sisepan-frame.js').then((it) => it.inside(widgets), warn);
}
