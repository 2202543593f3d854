// @ts-check
/**
 * Fallbacks for networks that block WebSockets: server-sent events, and polling where those are blocked as well.
 *
 * HTTP/1.1 allows six connections per host for all tabs together, so at most two event streams are
 * open; further subscriptions are polled.
 */

/** @typedef {import('./internal').Sub} Sub */

const STREAMS_MAX = 2;
/** An event stream that does not open, or brings no message after opening, for this long is considered blocked. */
const MUTE_MS = 8_000;
/** The same after the first message; the server sends a heartbeat every 15 s. */
const SILENT_MS = 31_000;
const POLL_MS = 5_000;
/** Timeout of a request. */
const ANSWER_MS = 20_000;
const POLL_MAX_MS = 60_000;

/** Starts the fallback, unless the WebSocket has connected while this module was loading. @param {import('./internal').Link} link @param {import('./internal').Kit} kit */
export function detour(link, kit) {
  if (link.detour || link.heard >= link.begun || !link.subs.size || kit.hidden()) return;
  /** @type {Map<Sub, {stop: () => void}>} */
  const transports = new Map();
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
      transports.set(sub, poll(sub));
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
      // The browser reconnects by itself unless the request was refused; the new connection may be blocked, too.
      mute = setTimeout(give_up, source.readyState === EventSource.CLOSED ? 0 : SILENT_MS);
    };
    return { stop };
  };

  /** @param {Sub} sub */
  const poll = (sub) => {
    let failures = 0;
    let timer = 0;
    let over = false;
    let request = new AbortController();
    const once = async () => {
      request = new AbortController();
      const timeout = setTimeout(() => request.abort(), ANSWER_MS);
      try {
        // The browser caches the response and revalidates it with its ETag.
        const answer = await fetch(address('api/v1/snapshot', sub), { cache: 'no-cache', signal: request.signal });
        // A permanent error of the server itself, so polling ends.
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
        // Stopped: another transport may have taken over.
        if (over) return;
        failures++;
        sub.fresh = false;
      } finally {
        clearTimeout(timeout);
      }
      const wait = Math.min(POLL_MAX_MS, POLL_MS * 2 ** failures) * (0.8 + 0.4 * Math.random());
      if (!over) timer = setTimeout(once, wait);
    };
    once();
    return {
      stop() {
        over = true;
        request.abort();
        clearTimeout(timer);
        sub.fresh = false;
      },
    };
  };

  const follow = () => {
    for (const [sub, transport] of transports) {
      if (sub.widgets.size) continue;
      transport.stop();
      transports.delete(sub);
    }
    for (const sub of link.subs.values()) {
      if (!transports.has(sub) && sub.widgets.size) transports.set(sub, !muted && streams < STREAMS_MAX ? listen(sub) : poll(sub));
    }
  };
  follow();
  const timer = setInterval(follow, 1000);
  link.detour = {
    stop() {
      clearInterval(timer);
      for (const transport of transports.values()) transport.stop();
      return undefined;
    },
  };
}
