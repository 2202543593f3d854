// @ts-check
/**
 * The same rows where a WebSocket can't get through: as server-sent events, and where those are held up too, by asking.
 *
 * HTTP/1.1 has six connections for a host, and other tabs want some: at most two
 * are held here, for what is asked for first. The rest is asked for.
 */

/** @typedef {import('./internal').Sub} Sub */

const STREAMS_MAX = 2;
/** Events that have brought nothing by then are held up somewhere. */
const MUTE_MS = 8_000;
/** Likewise later: the server sends a heartbeat every 15 s. */
const SILENT_MS = 31_000;
const ASK_MS = 5_000;
/** A request without an answer by then has failed. */
const ANSWER_MS = 20_000;
const ASK_MAX_MS = 60_000;

/** Begins one, if it is still needed by the time that this module is there. @param {import('./internal').Link} link @param {import('./internal').Kit} kit */
export function detour(link, kit) {
  if (link.detour || link.heard >= link.begun || !link.subs.size || kit.hidden()) return;
  /** @type {Map<Sub, {stop: () => void}>} */
  const ways = new Map();
  let streams = 0;
  let muted = typeof EventSource === 'undefined';

  /** @param {string} path @param {Sub} sub @param {Record<string, string>} [more] */
  const address = (path, { ask: { board, basis, markets, lang } }, more) => {
    const url = new URL(path, kit.home);
    for (const [name, value] of Object.entries({ board, markets: markets?.join(), basis, lang, ...more })) {
      if (value) url.searchParams.set(name, value);
    }
    return url;
  };

  /** @param {Sub} sub @param {object} message */
  const put = (sub, message) => {
    link.put(sub, message);
    link.heard = sub.heard = Date.now();
  };

  /** @param {Sub} sub */
  const listen = (sub) => {
    const { epoch, sequence, ask } = sub;
    /** @type {Record<string, string>} */
    const more = { interval_ms: String(ask.interval_ms) };
    if (sequence >= 0) more.resume = `${epoch}:${sequence}`;
    const source = new EventSource(address('api/v1/events', sub, more));
    streams++;
    const stop = () => {
      clearTimeout(mute);
      source.close();
      streams--;
      sub.fresh = false;
    };
    const give_up = () => {
      stop();
      muted = true;
      ways.set(sub, ask_for(sub));
    };
    let mute = setTimeout(give_up, MUTE_MS);
    source.onopen = () => {
      clearTimeout(mute);
      mute = setTimeout(give_up, MUTE_MS);
    };
    source.onmessage = ({ data }) => {
      clearTimeout(mute);
      mute = setTimeout(give_up, SILENT_MS);
      put(sub, JSON.parse(data));
    };
    source.onerror = () => {
      sub.fresh = false;
      clearTimeout(mute);
      // The browser comes back by itself, unless it was refused; that may be held up as well.
      mute = setTimeout(give_up, source.readyState === EventSource.CLOSED ? 0 : SILENT_MS);
    };
    return { stop };
  };

  /** @param {Sub} sub */
  const ask_for = (sub) => {
    let failures = 0;
    let timer = 0;
    let over = false;
    let asking = new AbortController();
    const once = async () => {
      asking = new AbortController();
      const late = setTimeout(() => asking.abort(), ANSWER_MS);
      try {
        // The browser keeps the answer with its ETag, and asks whether there is a newer one.
        const answer = await fetch(address('api/v1/snapshot', sub), { cache: 'no-cache', signal: asking.signal });
        // Refused by the server itself, and not only for now: it would be again.
        if (/^4(?!29)/.test(String(answer.status)) && answer.headers.get('content-type')?.startsWith('application/problem')) {
          over = true;
          sub.fresh = false;
          console.error('sisepan:', (await answer.json()).detail);
        }
        if (!answer.ok) throw new Error('snapshot: ' + answer.status);
        const snapshot = await answer.json();
        if (over) return;
        failures = 0;
        put(sub, { ...snapshot, type: 'snapshot' });
      } catch {
        // Another way may have taken over.
        if (over) return;
        failures++;
        sub.fresh = false;
      } finally {
        clearTimeout(late);
      }
      const wait = Math.min(ASK_MAX_MS, ASK_MS * 2 ** failures) * (0.8 + 0.4 * Math.random());
      if (!over) timer = setTimeout(once, wait);
    };
    once();
    return {
      stop() {
        over = true;
        asking.abort();
        clearTimeout(timer);
        sub.fresh = false;
      },
    };
  };

  const follow = () => {
    for (const [sub, way] of ways) {
      if (sub.widgets.size) continue;
      way.stop();
      ways.delete(sub);
    }
    for (const sub of link.subs.values()) {
      if (!ways.has(sub) && sub.widgets.size) ways.set(sub, !muted && streams < STREAMS_MAX ? listen(sub) : ask_for(sub));
    }
  };
  follow();
  const timer = setInterval(follow, 1000);
  link.detour = {
    stop() {
      clearInterval(timer);
      for (const way of ways.values()) way.stop();
      return undefined;
    },
  };
}
