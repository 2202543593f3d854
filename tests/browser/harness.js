/**
 * Starts the real programs and a real browser, and stops exactly what it started.
 *
 * SISEPAN_BIN names the program (default: target/debug/sisepan), CHROMIUM the browser.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BIN = process.env.SISEPAN_BIN ?? path.join(ROOT, 'target/debug/sisepan');
export const SHOTS = path.join(ROOT, 'target/screenshots');

/** The reference board, in order. */
export const NAMES = ['비트코인', '이더리움', '비트코인 캐시', '리플', '솔라나', '에이다', '트론', '스텔라루멘', '비트코인에스브이', '체인링크', '샌드박스'];

/** How long anything is waited for: a machine that is busy with something else is slow and not wrong. */
export const PATIENCE_MS = 120_000;

const STOP_MS = 20_000;

/** Runs the program until it has printed what it was asked for. */
async function start(args, patterns, env = {}) {
  const child = spawn(BIN, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const found = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${args[0]} did not start:\n${said}`)), PATIENCE_MS);
    const look = (chunk) => {
      said = (said + chunk).slice(-20_000);
      const matches = patterns.map((pattern) => said.match(pattern)?.[1]);
      if (matches.every(Boolean)) {
        clearTimeout(timer);
        resolve(matches);
      }
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${args[0]} ended with ${code}:\n${said}`)));
  });
  return { child, urls: await found, said: () => said };
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

/** The fake exchanges. */
export async function fake() {
  const { child, urls } = await start(['fake', '--listen', '127.0.0.1:0', '--control', '127.0.0.1:0'], [LISTENING, /control on (http:\/\/\S+)/]);
  const [url, control] = urls;
  const ask = async (method, where, body) => {
    const answer = await fetch(control + where, { method, headers: { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${await answer.text()}`);
  };
  return {
    url,
    price: (venue, market, price) => ask('POST', '/price', { venue, market, price, hold: true }),
    fault: (fault) => ask('POST', '/fault', fault),
    heal: () => ask('DELETE', '/fault'),
    stop: () => stop(child),
  };
}

/** A server whose exchanges are the fake ones, with further settings at the top. `again` starts it anew on the same address, with the same settings or others. */
export async function server(exchanges, settings = '') {
  const folder = await mkdtemp(path.join(tmpdir(), 'sisepan-browser-'));
  const config = path.join(folder, 'sisepan.toml');
  const at = exchanges.url;
  const stream = at.replace('http', 'ws');
  const venue = (id, where) => `[venues.${id}]\nrest = "${at}/${id}"\nstream = "${stream}/${id}/${where}"\n`;
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
    said: () => running.said(),
    kill: () => stop(running.child),
    again: async (more = settings) => {
      await configure(more);
      running = await run();
    },
    stop: async () => {
      await stop(running.child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The demo, as anybody starts it. */
export async function demo() {
  const { child, urls } = await start(['demo', '--listen', '127.0.0.1:0'], [LISTENING]);
  return { url: urls[0], stop: () => stop(child) };
}

/** Somebody else's site: one page, on an origin of its own. */
export async function site(body) {
  const pages = http.createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html; charset=utf-8');
    answer.end('<!doctype html><meta charset="utf-8"><title>Article</title>' + body);
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${pages.address().port}/`, stop: () => new Promise((resolve) => pages.close(resolve)) };
}

export async function browser() {
  await mkdir(SHOTS, { recursive: true });
  const args = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';
  const chrome = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: args.split(' '), timeout: PATIENCE_MS });
  const newContext = chrome.newContext.bind(chrome);
  chrome.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(PATIENCE_MS);
    return context;
  };
  return chrome;
}

/** Opens a page in a context of its own; `trouble` gathers what the browser complains of. */
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

/** Waits until something is true, with a deadline. */
export async function until(what, check, ms = PATIENCE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const seen = await check().catch((error) => String(error));
    if (seen === true) return;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what} (${JSON.stringify(seen)})`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The text of a cell as the server's own formatter writes it now. */
export async function written(server, market, cell, lang = 'ko') {
  const html = await (await fetch(`${server.url}/fragment/board?lang=${lang}`, { cache: 'no-store' })).text();
  const row = html.split(`data-market="${market}"`)[1] ?? '';
  return row.split(`data-cell="${cell}"`)[1]?.match(/^[^>]*>([^<]*)/)?.[1];
}

/** Waits until the server itself has all prices. */
export const ready = (server) =>
  until('all rows have a price', async () => {
    const html = await (await fetch(`${server.url}/fragment/board?lang=ko`)).text();
    const last = [...html.matchAll(/data-cell="last"[^>]*>([^<]*)/g)].map((match) => match[1]);
    return (last.length === 11 && !last.includes('–')) || last;
  });
