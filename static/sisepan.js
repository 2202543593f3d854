// @ts-check
/**
 * Updates price widgets, and defines them as custom elements: <sisepan-board> and others.
 *
 * The server renders a widget completely; this script only updates its texts, and marks it
 * when they are out of date. The types are documented in internal.d.ts.
 */

const HOME = new URL('.', import.meta.url);
const TAGS = 'board tape card ticker movers chart'.split(' ').map((widget) => 'sisepan-' + widget);
const OPTIONS = 'board markets lang basis theme colors size columns density flash link credit transparent interval span count title announce'.split(' ');
/** A widget without data for this long is marked as not live. */
const DOUBT_MS = 10_000;
/** The server accepts five messages a second. Each message also waits for the answer to the previous one. */
const PACE_MS = 260;
const RETRY_MS = 1_000;
/** Maximum delay of the first reconnect: spreads the clients of a server that restarts. */
const RETURN_MS = 15_000;
const RETRY_MAX_MS = 60_000;
const HIDDEN_MAX_MS = 20_000;
/** Timeout of a request. */
const ANSWER_MS = 20_000;

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

/** The root of a widget. The attribute rules out elements of the host page with the same class. */
const ROOT = '.sisepan[data-words]';

/** @type {(what: unknown) => void} */
const warn = (what) => console.warn('sisepan:', what);

/** @type {Map<Element, import('./internal').Widget>} */
const widgets = new Map();

/** Whether this page is hidden, and every other window that a widget was moved to. */
const hidden = () => document.hidden && [...widgets.keys()].every((root) => root.ownerDocument.hidden);

/** @type {import('./internal').Kit} */
const kit = {
  home: HOME,
  hidden,
  comma(price) {
    const [whole, fraction = ''] = price.split('.');
    const rest = fraction.replace(/0+$/, '');
    return whole.replace(/\B(?=(\d{3})+$)/g, ',') + (rest && '.' + rest);
  },
  moment(at, hours) {
    const time = +new Date(at) + hours * 3_600_000;
    return time ? new Date(time).toISOString() : '';
  },
  get: (where, signal, type = 'document') =>
    new Promise((resolve, reject) => {
      const ask = new XMLHttpRequest();
      ask.open('GET', new URL(where, HOME));
      ask.responseType = type;
      ask.timeout = ANSWER_MS;
      ask.onloadend = () => {
        // Resolves URLs of this server, so that they are valid in any page.
        for (const it of (ask.response?.querySelectorAll?.('link,[data-home]') || [])) it.href = it.href;
        (ask.status === 200 ? resolve : reject)(ask);
      };
      signal.onabort = () => ask.abort();
      ask.send();
    }),
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

/** Widgets off screen are not updated until they become visible. */
const seeing = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) widgets.get(target)?.see(isIntersecting);
});

/** Removes the elements that modules added, also from a copy of a running widget. @type {(root: HTMLElement) => void} */
const strip = (root) => {
  for (const it of all(root, '[data-added]')) it.replaceWith(...(it.dataset.added ? it.childNodes : []));
};

/** @type {(root: HTMLElement) => string} */
const subscription = ({ lang, dataset: { board, basis, markets, interval } }) =>
  JSON.stringify({ board, basis, markets: markets?.split(','), lang, interval_ms: +(interval || 500) });

/** @type {(root: HTMLElement, host?: HTMLElement, since?: number) => import('./internal').Widget} */
const enliven = (root, host = root, since = Date.now()) => {
  strip(root);
  const life = new AbortController();
  const { signal } = life;
  let plotted = false;
  /** @type {(module: Promise<{ run: import('./internal').Run }>) => void} */
  const use = (module) => void module.then((it) => signal.aborted || it.run(widget, kit), warn);
  /** @type {import('./internal').Words} */
  const words = JSON.parse(root.dataset.words || '{}');
  /** @type {import('./internal').Widget} */
  const widget = {
    root,
    host,
    words,
    signal,
    since,
    lost: 0,
    seen: false,
    rows: new Map(),
    parts: [],
    index() {
      this.rows.clear();
      this.parts = all(root, '[data-market]');
      for (const at of [root, ...this.parts]) {
        const { market } = at.dataset;
        if (!market) continue;
        const held = this.rows.get(market) || { row: { market }, late: false, at: [] };
        held.at.push(at);
        this.rows.set(market, held);
      }
      this.sub?.widgets.delete(this);
      this.sub = link.join(this);
      for (const row of this.sub.rows.values()) this.apply(row);
      if (plotted || !root.querySelector('.plot')) return;
      plotted = true;
      use(import('./sisepan-chart.js'));
    },
    leave() {
      life.abort();
      this.sub?.widgets.delete(this);
      widgets.delete(root);
      seeing.unobserve(root);
      strip(root);
      delete root.dataset.live;
    },
    see(seen) {
      this.seen = seen;
      if (seen) for (const held of this.rows.values()) this.show(held);
      this.tell('see');
      link.tick(Date.now());
    },
    tell(type, detail) {
      host.dispatchEvent(new CustomEvent('sisepan:' + type, { detail, composed: true, bubbles: !!detail }));
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
      const title = change ? `${words.base} ${kit.comma(change.base_price)} · ${kit.moment(change.base_at, words.hours).slice(5, 16).replace('T', ' ')} ${words.zone}` : text?.no_change || '';
      for (const at of held.at) {
        /** @type {(name: string) => Element | null} */
        const cell = (name) => at.querySelector(`[data-cell="${name}"]`);
        mark(at, 'data-state', state || 'unknown');
        mark(at, 'data-direction', change?.direction || 'even');
        mark(at, 'data-confirmed', confirmed_at || received_at || '');
        if (text) {
          const last = cell('last');
          if (last?.textContent !== text.last && root.dataset.flash !== 'off' && !matchMedia('(prefers-reduced-motion: reduce)').matches) {
            last?.animate([{ background: 'var(--flash)', boxShadow: '0 0 0 .15em var(--flash)' }, {}], 900);
          }
          for (const [name, value] of Object.entries({ notice: '', no_change: '', ...text })) write(cell(name), value);
        }
        write(cell('word'), change ? words.direction[change.direction] : '');
        write(cell('base'), title);
        for (const it of all(at, '[title]:not(dd)')) mark(it, 'title', title);
      }
      this.age(held, Date.now());
    },
    age({ row: { state, fallback, venue, confirmed_at, received_at }, at }, now) {
      const since = Date.parse(confirmed_at || received_at || '');
      const how = state === 'live' ? '' : state === 'stale' && since ? ago(now - since, words.age) : words.state[state] || state;
      const text = [fallback && venue && (words.venue[venue] || venue), how].filter(Boolean).join(' · ');
      for (const element of at) write(element.querySelector('[data-cell="mark"]'), text);
    },
    renew() {
      this.lost ||= Date.now();
      use(import('./sisepan-refresh.js'));
    },
    tick(live, now, heard) {
      if (!this.seen) return;
      if (this.lost) {
        live = false;
        heard &&= Math.min(heard, this.lost);
      }
      // The connection is not enough: the widget is as live as its best row.
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
  if (dataset.widget === 'tape') use(import('./sisepan-tape.js'));
  if (dataset.refresh) use(import('./sisepan-refresh.js'));
  if (host.closest('[announce],[data-announce]')) use(import('./sisepan-announce.js'));
  seeing.observe(root);
  return widget;
};

/** @type {import('./internal').Link} */
const link = {
  subs: new Map(),
  queue: new Set(),
  heard: 0,
  looked: 0,
  begun: 0,
  failures: 0,
  strikes: 0,
  retry: 0,
  pace: 0,
  ids: 0,
  asked: 0,
  over: false,
  join(widget) {
    const key = subscription(widget.root);
    let sub = this.subs.get(key);
    if (!sub) {
      sub = { id: ++this.ids, key, ask: JSON.parse(key), said: false, widgets: new Set(), rows: new Map(), epoch: '', sequence: -1, group: '', fresh: false, heard: 0 };
      this.subs.set(key, sub);
    }
    sub.widgets.add(widget);
    if (!sub.said) this.say(sub);
    this.open();
    return sub;
  },
  open() {
    if (this.socket || this.retry || this.over || hidden()) return;
    this.begun = Date.now();
    const url = new URL('api/v1/stream', HOME);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = (this.socket = new WebSocket(url));
    socket.onopen = () => {
      this.queue = new Set(this.subs.values());
      for (const sub of this.queue) sub.said = false;
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
    this.retry = 0;
    if (!this.detour) for (const sub of this.subs.values()) sub.fresh = false;
    this.socket?.close();
    this.socket = undefined;
  },
  again(wait) {
    this.strikes = this.heard < this.begun ? this.strikes + 1 : 0;
    this.close();
    if (this.over) return;
    this.retry = setTimeout(() => {
      this.retry = 0;
      this.open();
    }, wait ?? jitter(this.heard ? RETURN_MS : RETRY_MS, this.failures++));
    if (this.strikes > 1) import('./sisepan-detour.js').then((it) => it.detour(this, kit), warn);
  },
  say(sub) {
    if (sub) this.queue.add(sub);
    // Skips subscriptions that have lost their widgets before being sent.
    const next = [...this.queue].find((it) => it.widgets.size || it.said);
    if (this.pace || this.asked || !next || this.socket?.readyState !== 1) return;
    this.queue.delete(next);
    this.asked = next.id;
    const { id, ask, key, epoch, sequence } = next;
    next.said = true;
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
    for (const sub of this.subs.values()) {
      if (group && sub.id === id) sub.group = group;
      if (sub.group === group) this.put(sub, message);
      if (sub.fresh) sub.heard = this.heard;
    }
  },
  put(sub, message) {
    const { type, rows, sequence, epoch } = message;
    const whole = type === 'snapshot';
    if (whole) {
      sub.sequence = sequence;
      sub.epoch = epoch;
      sub.rows.clear();
    } else if (type === 'delta' && (epoch !== sub.epoch || (!message.recovered && message.previous > sub.sequence))) {
      // A delta is missing: resume from the current sequence.
      return this.say(sub);
    }
    // Heartbeats and status messages advance the sequence too.
    if (epoch === sub.epoch && sequence > sub.sequence) sub.sequence = sequence;
    for (const widget of sub.widgets) {
      if (type === 'status' || (whole && widget.root.querySelector('[data-venue]:not([data-state=up])'))) import('./sisepan-venues.js').then((it) => it.tell(widget, message), warn);
      // The server no longer has one of the markets: reload the widget, which is not live until then.
      if (whole && rows.filter((row) => widget.rows.has(row.market)).length < widget.rows.size) widget.renew();
    }
    if (!rows) return;
    sub.fresh = true;
    if (!this.detour) this.failures = 0;
    for (const news of rows) {
      // A delta row has only the changed members; a snapshot row is complete but for default values.
      const row = type === 'delta' ? { ...sub.rows.get(news.market), ...news } : news;
      sub.rows.set(row.market, row);
      for (const widget of sub.widgets) widget.apply(row);
    }
    sub.heard = Date.now();
    this.tick(sub.heard);
  },
  tick(now) {
    if (!hidden()) this.looked = now;
    else if (now - this.looked < HIDDEN_MAX_MS) return;
    else this.sleep();
    const { socket, heard, begun } = this;
    for (const [key, sub] of this.subs) {
      const told = sub.heard;
      for (const widget of sub.widgets) widget.tick(sub.fresh ? now - told < 2 * heartbeat : now - (told || widget.since) < DOUBT_MS, now, told);
      if (sub.widgets.size) continue;
      this.subs.delete(key);
      this.queue.delete(sub);
      if (sub.said) this.say(sub);
    }
    if (!this.subs.size) this.sleep();
    else if (socket && now > (heard < begun ? begun + DOUBT_MS : heard + 2 * heartbeat)) this.again();
    else this.open();
  },
  wake() {
    const now = Date.now();
    if (hidden() || (this.socket && now - Math.max(this.heard, this.begun) < 2 * heartbeat)) return;
    this.close();
    this.over = false;
    this.tick(now);
  },
  sleep() {
    this.detour = this.detour?.stop();
    this.close();
  },
};

/** A constructed style sheet can only be used in its own document. @type {WeakMap<Document, Promise<CSSStyleSheet>>} */
const sheets = new WeakMap();

/** @type {(page: Document) => Promise<CSSStyleSheet>} */
const sheet = (page) => {
  const made = sheets.get(page) || kit.get('sisepan.css', { onabort: null }, 'text').then(({ response }) => new /** @type {typeof globalThis} */ (page.defaultView).CSSStyleSheet().replace(response));
  sheets.set(page, made);
  made.catch(() => sheets.delete(page));
  return made;
};

/** The content of the element is its fallback, shown until the widget is loaded. */
class Sisepan extends HTMLElement {
  static observedAttributes = OPTIONS;
  /** @type {import('./internal').Widget | undefined} */
  #widget;
  /** The query of the displayed content, which may be the fallback after an error. @type {string | undefined} */
  #shown;
  /** The query of the request in progress. @type {string | undefined} */
  #asked;
  #ask = new AbortController();
  #failures = 0;
  #due = false;
  #styles = 0;

  connectedCallback() {
    this.sync();
  }

  disconnectedCallback() {
    this.sync();
  }

  attributeChangedCallback() {
    this.sync();
  }

  /** Updates the content to the attributes, once for all changes of a task: moving the element changes nothing. */
  async sync() {
    if (this.#due) return;
    this.#due = true;
    await undefined;
    this.#due = false;
    const is_here = this.isConnected && this.ownerDocument.defaultView;
    const query = is_here ? String(new URLSearchParams(OPTIONS.filter((name) => this.hasAttribute(name)).map((name) => [name, this.getAttribute(name) || '']))) : undefined;
    if (query !== this.#asked) {
      this.#ask.abort();
      this.#asked = undefined;
    }
    const shadow = this.shadowRoot;
    // After an error the shadow root holds a slot, which shows the fallback.
    const [content] = all(shadow || this, shadow ? ROOT + ',slot' : ROOT);
    if (!is_here || content !== this.#widget?.root) this.#widget?.leave();
    if (query === undefined) return;
    // Adoption by another document removes the style sheet, and a host page may remove anything.
    this.#shown = content && (shadow?.adoptedStyleSheets.length || 0) >= this.#styles ? this.#shown ?? query : undefined;
    if (content?.className && this.#widget?.signal.aborted !== false) this.#widget = enliven(content, this, this.#widget?.since);
    if (query === this.#shown) {
      if (this.#widget) this.#widget.lost = 0;
    } else if (query !== this.#asked) {
      const odd = this.getAttributeNames().filter((name) => !(OPTIONS.includes(name) || name in this || /^(class|tabindex|aria-|data-)/.test(name)));
      if (odd.length) warn(`<${this.localName}>: unknown attribute ${odd}; known: ${OPTIONS}`);
      this.#failures = 0;
      this.#fill(query);
    }
  }

  /** @type {(signal: AbortSignal, content: Element, styles: CSSStyleSheet[]) => void} */
  #show(signal, content, styles) {
    if (signal.aborted) return;
    this.#widget?.leave();
    this.#widget = undefined;
    const shadow = this.shadowRoot || this.attachShadow({ mode: 'open' });
    shadow.adoptedStyleSheets = styles;
    shadow.replaceChildren(content);
    this.#styles = styles.length;
    this.#shown = this.#asked;
    this.#asked = undefined;
    this.sync();
  }

  /** @param {string} query */
  async #fill(query) {
    this.#asked = query;
    const { signal } = (this.#ask = new AbortController());
    try {
      const [style, { response }] = await Promise.all([sheet(this.ownerDocument), kit.get(`fragment/${this.localName.slice(8)}?${query}`, signal)]);
      const [root] = all(response, ROOT);
      if (!root) throw response;
      this.#show(signal, root, [style]);
    } catch (failed) {
      const { status, response } = /** @type {XMLHttpRequest} */ (failed);
      const refusal = response?.querySelector?.('.sisepan-error');
      // An error of the server is reported to the author of the page; errors of proxies are retried.
      if (refusal && /^4(?!29)/.test(String(status))) {
        console.error(`<${this.localName}>`, refusal.textContent);
        return this.#show(signal, document.createElement('slot'), []);
      }
      if (signal.aborted) return;
      if (this.#widget) this.#widget.lost ||= Date.now();
      const retry = setTimeout(() => (this.ownerDocument.defaultView ? this.#fill(query) : this.sync()), jitter(RETRY_MS, this.#failures++));
      signal.onabort = () => clearTimeout(retry);
    }
  }
}

/** Finds fragments that were added or removed, and elements whose iframe has gone: there is no callback for these. */
const sweep = () => {
  for (const [root, widget] of widgets) {
    const { host, parts, sub } = widget;
    const found = all(root, '[data-market]');
    if (root.isConnected && root.ownerDocument.defaultView && sub?.key === subscription(root) && found.length === parts.length && found.every((it, at) => it === parts[at])) continue;
    widget.leave();
    if (host instanceof Sisepan) host.sync();
  }
  for (const root of all(document, ROOT)) if (!widgets.has(root) && !root.closest(String(TAGS))) enliven(root);
};

if (!customElements.get(TAGS[0])) {
  for (const tag of TAGS) customElements.define(tag, class extends Sisepan {});
  sweep();
  setInterval(() => {
    sweep();
    link.tick(Date.now());
  }, 1000);
  for (const news of ['visibilitychange', 'pageshow', 'online']) addEventListener(news, () => link.wake());
  addEventListener('pagehide', () => link.sleep());

  // Embed pages send their height; the page around them sends its theme.
  addEventListener('message', (event) => event.data?.type === 'sisepan:height' && import('./sisepan-frame.js').then((it) => it.fit(event, kit), warn));
  if (document.querySelector('html.embed')) import('./sisepan-frame.js').then((it) => it.inside(widgets, kit), warn);
}
