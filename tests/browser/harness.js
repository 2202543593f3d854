/**
 * Starts the real programs and a real browser, and stops only the processes that it started.
 *
 * PROGRAM is the path of the program (default: target/debug/sisepan), CHROMIUM that of the browser, HEADLESS_SHELL that of
 * Chromium's headless shell, which has no user interface.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BIN = process.env.PROGRAM ?? path.join(ROOT, 'target/debug/sisepan');
export const SHOTS = path.join(ROOT, 'target/screenshots');

/** The names on the default board, in order. */
export const NAMES = ['비트코인', '이더리움', '비트코인 캐시', '리플', '솔라나', '에이다', '트론', '스텔라루멘', '비트코인에스브이', '체인링크', '샌드박스'];

/** Timeout of every wait, long enough for a busy machine. */
export const TIMEOUT_MS = 120_000;

const STOP_MS = 20_000;

/** Starts the program and waits until its output has matched every pattern. */
async function start(args, patterns, env = {}) {
  const child = spawn(BIN, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const found = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${args[0]} did not start:\n${output}`)), TIMEOUT_MS);
    const onOutput = (chunk) => {
      output = (output + chunk).slice(-20_000);
      const matches = patterns.map((pattern) => output.match(pattern)?.[1]);
      if (matches.every(Boolean)) {
        clearTimeout(timer);
        resolve(matches);
      }
    };
    child.stdout.on('data', onOutput);
    child.stderr.on('data', onOutput);
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${args[0]} ended with ${code}:\n${output}`)));
  });
  return { child, urls: await found, output: () => output };
}

export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await gone;
  clearTimeout(timer);
}

const LISTENING = /listening on (http:\/\/\S+)/;

/** Starts the fake exchanges. */
export async function fake() {
  const { child, urls } = await start(['fake', '--listen', '127.0.0.1:0', '--control', '127.0.0.1:0'], [LISTENING, /control on (http:\/\/\S+)/]);
  const [url, control] = urls;
  const send = async (method, path, body) => {
    const answer = await fetch(control + path, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  };
  return {
    url,
    price: (venue, market, price) => send('POST', '/price', { venue, market, price, hold: true }),
    fault: (fault) => send('POST', '/fault', fault),
    clearFaults: () => send('DELETE', '/fault'),
    stop: () => stop(child),
  };
}

/** Starts a server on the fake exchanges, with further settings. `restart` restarts it on the same address, with the same settings or others. */
export async function server(exchanges, settings = '') {
  const folder = await mkdtemp(path.join(tmpdir(), 'sisepan-browser-'));
  const config = path.join(folder, 'sisepan.toml');
  const at = exchanges.url;
  const stream = at.replace('http', 'ws');
  const venue = (id, streamPath) => `[venues.${id}]\nrest = "${at}/${id}"\nstream = "${stream}/${id}/${streamPath}"\n`;
  const configure = (more) => writeFile(config, `data = "none"\n${more}\n` + venue('upbit', 'websocket/v1') + venue('bithumb', 'websocket/v1') + venue('binance', 'ws'));
  await configure(settings);
  let address = '127.0.0.1:0';
  const run = async () => {
    const started = await start(['serve', '--config', config, '--listen', address], [LISTENING]);
    address = new URL(started.urls[0]).host;
    return started;
  };
  let running = await run();
  return {
    url: running.urls[0],
    kill: () => stop(running.child),
    restart: async (more = settings) => {
      await configure(more);
      running = await run();
    },
    stop: async () => {
      await stop(running.child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Starts the demo with default settings. */
export async function demo() {
  const { child, urls } = await start(['demo', '--listen', '127.0.0.1:0'], [LISTENING]);
  return { url: urls[0], stop: () => stop(child) };
}

/** Serves one page on another origin, as a host site. */
export async function site(body) {
  const pages = http.createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html; charset=utf-8');
    answer.end('<!doctype html><meta charset="utf-8"><title>Article</title>' + body);
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${pages.address().port}/`, stop: () => new Promise((resolve) => pages.close(resolve)) };
}

const ARGS = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'.split(' ');

/** Starts Chromium, as readers use it, with further arguments. */
export const browser = (...more) => launch(process.env.CHROMIUM ?? '/usr/bin/chromium', [...ARGS, ...more]);

/**
 * Starts Chromium's headless shell. For tests that open many pages, each in its own context: that takes a third
 * of the time. It draws text like the other one, but has other default fonts.
 */
export const headlessShell = () => launch(process.env.HEADLESS_SHELL ?? '/usr/bin/chromium-headless-shell', [...ARGS, '--font-render-hinting=slight']);

async function launch(executablePath, args) {
  await mkdir(SHOTS, { recursive: true });
  const chrome = await chromium.launch({ executablePath, args, timeout: TIMEOUT_MS });
  const newContext = chrome.newContext.bind(chrome);
  chrome.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(TIMEOUT_MS);
    return context;
  };
  return chrome;
}

/** Takes a screenshot. A busy Chromium sometimes refuses one, and takes it when asked again. */
export async function screenshot(page, options) {
  const end = Date.now() + TIMEOUT_MS;
  for (;;) {
    try {
      return await page.screenshot(options);
    } catch (error) {
      if (!/Unable to capture screenshot/.test(String(error)) || Date.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Opens a page in its own browser context; `trouble` collects script errors and policy violations. */
export async function open(chrome, url, options = {}) {
  const context = await chrome.newContext({ viewport: { width: 320, height: 640 }, locale: 'ko-KR', ...options });
  const page = await context.newPage();
  const trouble = [];
  page.on('pageerror', (error) => trouble.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && /Content Security Policy|CORS|SyntaxError/.test(message.text())) trouble.push(message.text());
  });
  await page.goto(url);
  return { page, trouble, close: () => context.close() };
}

/** Waits until `check` returns true, with a timeout. */
export async function until(what, check, ms = TIMEOUT_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const result = await check().catch((error) => String(error));
    if (result === true) return;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what} (${JSON.stringify(result)})`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Returns the text of a cell as the server renders it now. */
export async function servedText(server, market, cell, lang = 'ko') {
  const html = await (await fetch(`${server.url}/fragment/board?lang=${lang}`, { cache: 'no-store' })).text();
  const row = html.split(`data-market="${market}"`)[1] ?? '';
  return row.split(`data-cell="${cell}"`)[1]?.match(/^[^>]*>([^<]*)/)?.[1];
}

/** Waits until the server has a price for every row. */
export const ready = (server) =>
  until('all rows have a price', async () => {
    const html = await (await fetch(`${server.url}/fragment/board?lang=ko`)).text();
    const last = [...html.matchAll(/data-cell="last"[^>]*>([^<]*)/g)].map((match) => match[1]);
    return (last.length === 11 && !last.includes('–')) || last;
  });
