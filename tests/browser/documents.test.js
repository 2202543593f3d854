// openapi.json and asyncapi.json: valid documents that match real responses and messages.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';
import WebSocket from 'ws';
import { fake, ready, server, until } from './harness.js';

const rules = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0.json');
let exchanges, sisepan, http, stream;

before(async () => {
  exchanges = await fake();
  sisepan = await server(exchanges, 'public_url = "https://prices.example"');
  await ready(sisepan);
  [http, stream] = await Promise.all(['openapi', 'asyncapi'].map(async (name) => (await fetch(`${sisepan.url}/${name}.json`)).json()));
});

after(async () => {
  await sisepan?.stop();
  await exchanges?.stop();
});

/** Makes a schema reject undocumented members, which clients ignore. */
function strict(schema) {
  if (Array.isArray(schema)) return schema.map(strict);
  if (!schema || typeof schema !== 'object') return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, strict(value)]));
  if (copy.type === 'object' && copy.properties && !copy.additionalProperties) copy.additionalProperties = false;
  return copy;
}

/** Returns a function that validates a value against a schema and returns the errors as text. */
function checker(document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema({ $id: 'https://document.example/', components: { schemas: strict(document.components.schemas) } });
  const local = (schema) => JSON.parse(JSON.stringify(strict(schema)).replaceAll('"#/components/', '"https://document.example/#/components/'));
  return (schema, value) => {
    const validate = ajv.compile(local(schema));
    return validate(value) ? '' : ajv.errorsText(validate.errors);
  };
}

const resolve = (document, it) => (it?.$ref ? it.$ref.split('/').slice(1).reduce((at, name) => at[name.replaceAll('~1', '/')], document) : it);

test('both documents are valid', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(http));
  assert.ok(valid, JSON.stringify(errors, null, 1));
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false, meta: false, validateSchema: false });
  const validate = ajv.compile(rules);
  assert.ok(validate(stream), ajv.errorsText(validate.errors));
  assert.deepEqual([http.openapi, stream.asyncapi], ['3.1.0', '3.0.0']);
});

/** Valid and invalid requests: documented path, requested URL, status, problem type. */
const REQUESTS = [
  ['/api/v1/snapshot', '/api/v1/snapshot', 200],
  ['/api/v1/snapshot', '/api/v1/snapshot?board=krw&basis=kst-day&lang=ja', 200],
  ['/api/v1/snapshot', '/api/v1/snapshot?markets=btc-krw,XRP-KRW&interval_ms=100', 200],
  ['/api/v1/snapshot', '/api/v1/snapshot?board=usd', 404, 'unknown-board'],
  ['/api/v1/snapshot', '/api/v1/snapshot?markets=NO-KRW', 404, 'unknown-market'],
  ['/api/v1/snapshot', '/api/v1/snapshot?basis=x', 400, 'unknown-basis'],
  ['/api/v1/snapshot', '/api/v1/snapshot?lang=x', 400, 'unknown-lang'],
  ['/api/v1/snapshot', '/api/v1/snapshot?board=krw&board=krw', 400, 'bad-field'],
  ['/api/v1/snapshot', `/api/v1/snapshot?markets=${Array(129).fill('A-B')}`, 400, 'too-many-markets'],
  ['/api/v1/snapshot', `/api/v1/snapshot?x=${'x'.repeat(13_000)}`, 400, 'query-too-long'],
  ['/api/v1/snapshot.csv', '/api/v1/snapshot.csv', 200],
  ['/api/v1/snapshot.csv', '/api/v1/snapshot.csv?board=usd', 404, 'unknown-board'],
  ['/api/v1/markets', '/api/v1/markets', 200],
  ['/api/v1/venues', '/api/v1/venues', 200],
  ['/api/v1/history/{market}', '/api/v1/history/BTC-KRW', 200],
  ['/api/v1/history/{market}', '/api/v1/history/BTC-KRW?span=7d&step=1h', 200],
  ['/api/v1/history/{market}', '/api/v1/history/NO-KRW', 404, 'unknown-market'],
  ['/api/v1/history/{market}', '/api/v1/history/BTC-KRW?span=1d', 400, 'bad-span'],
  ['/api/v1/history/{market}', '/api/v1/history/BTC-KRW?step=1s', 400, 'bad-step'],
  ['/api/v1/history/{market}', '/api/v1/history/BTC-KRW?venue=x', 404, 'unknown-venue'],
  ['/api/v1/history/{market}.csv', '/api/v1/history/BTC-KRW.csv', 200],
  ['/api/v1/history/{market}.csv', '/api/v1/history/BTC-KRW.csv?step=5m', 200],
  ['/api/v1/events', '/api/v1/events?board=krw&interval_ms=7', 400, 'bad-interval'],
  ['/api/v1/events', '/api/v1/events?markets=NO-KRW', 404, 'unknown-market'],
  ['/api/v1/script', '/api/v1/script', 200],
  ['/healthz', '/healthz', 200],
  ['/readyz', '/readyz', 200],
  ['/readyz', '/readyz?board=usd', 404, 'unknown-board'],
  ['/readyz', '/readyz?require=x', 400, 'bad-field'],
  ['/', '/?q=btc&sort=last&order=asc', 200],
  ['/', '/?sort=x', 400],
  ['/market/{market}', '/market/BTC-KRW', 200],
  ['/market/{market}', '/market/NO-KRW', 404],
  ['/widgets', '/widgets?ui=en&widget=card&m=BTC-KRW', 200],
  ['/widgets', '/widgets?theme=dark&theme=dark', 400],
  ['/widgets', '/widgets?theme=x', 400],
  ['/widgets', '/widgets?m=NO-KRW', 404],
  ...['board', 'tape', 'movers'].flatMap((widget) => [
    ['/embed/{widget}', `/embed/${widget}?lang=en`, 200],
    ['/fragment/{widget}', `/fragment/${widget}?size=xl&density=compact`, 200],
  ]),
  ...['card', 'ticker', 'chart'].flatMap((widget) => [
    [`/embed/${widget}`, `/embed/${widget}?lang=en`, 200],
    [`/fragment/${widget}`, `/fragment/${widget}?markets=${Array(13).fill('BTC-KRW')}`, 400],
  ]),
  ['/embed/{widget}', '/embed/x', 404],
  ['/embed/{widget}', '/embed/board?theme=x', 400],
  ['/fragment/{widget}', '/fragment/board?count=99', 400],
  ['/badge/{market}.svg', '/badge/BTC-KRW.svg?lang=ko', 200],
  ['/badge/{market}.svg', '/badge/BTC-KRW.svg?theme=x', 400],
  ['/badge/{market}.svg', '/badge/NO-KRW.svg', 404],
  ...['png', 'json'].flatMap((form) => [
    [`/badge/{market}.${form}`, `/badge/BTC-KRW.${form}?lang=ko`, 200],
    [`/badge/{market}.${form}`, `/badge/BTC-KRW.${form}?theme=x`, 400],
    [`/badge/{market}.${form}`, `/badge/NO-KRW.${form}`, 404],
  ]),
  ['/oembed', '/oembed?url=https%3A%2F%2Fprices.example%2Fembed%2Fboard&maxwidth=300', 200],
  ['/oembed', '/oembed?url=https%3A%2F%2Felsewhere.example%2F', 404, 'no-embed'],
  ['/oembed', '/oembed', 400, 'bad-field'],
  ['/oembed', '/oembed?format=pdf&url=x', 400, 'bad-field'],
  ['/oembed', '/oembed?format=xml&url=x', 501, 'unknown-format'],
  ['/sisepan-colors.css', '/sisepan-colors.css?colors=c8202f-1a5fc8', 200],
  ['/sisepan-colors.css', '/sisepan-colors.css?colors=kr', 400],
  ['/home.js', '/home.js', 200],
  ['/page.js', '/page.js', 200],
  ['/{module}.js', '/sisepan-chart.js', 200],
  ...['/sisepan.js', '/sisepan.d.ts', '/sisepan.css', '/page.css', '/market.js', '/widgets.js', '/widgets.css', '/icon.svg', '/openapi.json', '/asyncapi.json'].map(
    (path) => [path, path, 200],
  ),
];

/** Checks a response against the document. */
async function verify(check, path, answer, problem) {
  const responses = http.paths[path].get.responses;
  const documented = resolve(http, responses[answer.status] ?? (problem && responses.default));
  assert.ok(documented, `${path}: the status ${answer.status} is not documented`);
  const kind = (answer.headers.get('content-type') ?? '').split(';')[0];
  const body = await answer.text();
  if (!documented.content) return assert.equal(body, '', path);
  assert.ok(documented.content[kind], `${path}: ${answer.status} is ${kind}, documented is ${Object.keys(documented.content)}`);
  const value = kind.endsWith('json') ? JSON.parse(body) : body;
  // These two are the documents.
  const wrong = ['/openapi.json', '/asyncapi.json'].includes(path) ? '' : check(documented.content[kind].schema, value);
  assert.equal(wrong, '', `${path} ${answer.status}: ${body.slice(0, 600)}`);
  if (problem) assert.equal(value.type, `urn:sisepan:problem:${problem}`, body);
  if (documented.headers?.ETag) assert.ok(answer.headers.get('etag'), `${path}: no ETag`);
  if (value.allowed || problem === 'bad-field') assert.ok(value.detail, body);
}

test('real responses, successful and failed, match openapi.json', async () => {
  const check = checker(http);
  const requested = new Set();
  for (const [path, at, status, problem] of REQUESTS) {
    const answer = await fetch(sisepan.url + at);
    assert.equal(answer.status, status, `${at}: ${answer.status}`);
    const tag = answer.headers.get('etag');
    await verify(check, path, answer, problem);
    requested.add(path);
    if (tag && http.paths[path].get.responses['304']) {
      const again = await fetch(sisepan.url + at, { headers: { 'if-none-match': tag } });
      // Prices may have changed meanwhile.
      assert.ok([200, 304].includes(again.status), `${at} again: ${again.status}`);
      await verify(check, path, again);
    }
  }
  const { file } = await (await fetch(`${sisepan.url}/api/v1/script`)).json();
  await verify(check, '/{module}-{hash}.js', await fetch(`${sisepan.url}/${file}`));
  requested.add('/{module}-{hash}.js');
  assert.deepEqual(Object.keys(http.paths).filter((path) => http.paths[path].get && !requested.has(path)), [], 'every documented path is requested');
  const other = await fetch(`${sisepan.url}/api/v1/markets`, { method: 'DELETE' });
  assert.equal(other.status, 405);
  await verify(check, '/api/v1/markets', other, 'wrong-method');
});

const names = (references) => references.map(({ $ref }) => $ref.split('/').at(-1));
const schemaOf = (type) => stream.components.messages[type]?.payload;

/** Checks every message against the schema of its type, and returns the types that occurred. */
function verifyAll(check, messages, allowed) {
  for (const message of messages) {
    assert.ok(allowed.includes(message.type), `${message.type} is not documented here`);
    assert.equal(check(schemaOf(message.type), message), '', JSON.stringify(message).slice(0, 900));
  }
  return new Set(messages.map(({ type }) => type));
}

test('every message of a real session matches asyncapi.json', async () => {
  const check = checker(stream);
  const received = [];
  const events = [];
  const has = (what, list = received) => until(`${what}`, async () => list.some(what));
  const socket = new WebSocket(`${sisepan.url.replace('http', 'ws')}/api/v1/stream`);
  socket.on('message', (data) => received.push(JSON.parse(String(data))));
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const follow = async () => {
    const answer = await fetch(`${sisepan.url}/api/v1/events?board=krw&lang=en&interval_ms=0`);
    let text = '';
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const whole = text.split('\n\n');
      text = whole.pop();
      for (const event of whole) events.push(...[...event.matchAll(/^data: (.+)$/gm)].map((match) => JSON.parse(match[1])));
    }
  };
  const followed = follow().catch(() => {});
  const sent = [];
  const send = async (message, what) => {
    // The rate limit is five messages a second.
    await new Promise((resolve) => setTimeout(resolve, 250));
    if (typeof message !== 'string') sent.push(message);
    socket.send(typeof message === 'string' ? message : JSON.stringify(message));
    await has(what);
  };
  const refused = (code) => ({ type, code: received }) => type === 'error' && received === code;
  await send({ type: 'subscribe', id: 'all', board: 'krw', lang: 'ko', interval_ms: 0 }, ({ type, id }) => type === 'snapshot' && id === 'all');
  await send({ type: 'subscribe', id: 2, markets: ['BTC-KRW'], basis: 'utc-day', resume: { epoch: 'another', sequence: 3 } }, ({ recovered }) => recovered === false);
  const { epoch, sequence } = received.find(({ type, id }) => type === 'snapshot' && id === 'all');
  await send({ type: 'subscribe', id: 'all', board: 'krw', lang: 'ko', interval_ms: 0, resume: { epoch, sequence } }, ({ type, recovered }) => type === 'delta' && recovered);
  await send({ type: 'ping', id: 7 }, ({ type, id }) => type === 'pong' && id === 7);
  await send({ type: 'ping' }, ({ type, id }) => type === 'pong' && id === null);
  await send({ type: 'unsubscribe', id: 2 }, ({ type, id }) => type === 'unsubscribed' && id === 2);
  const wrong = [
    ['{', 'bad-json'],
    ['{"type":"x"}', 'unknown-type'],
    ['{"type":"subscribe","id":1}', 'bad-field'],
    ['{"type":"subscribe","board":"usd"}', 'unknown-board'],
    ['{"type":"subscribe","markets":["NO-KRW"]}', 'unknown-market'],
    ['{"type":"subscribe","board":"krw","basis":"x"}', 'unknown-basis'],
    ['{"type":"subscribe","board":"krw","lang":"x"}', 'unknown-lang'],
    ['{"type":"subscribe","board":"krw","interval_ms":7}', 'bad-interval'],
  ];
  for (const [text, code] of wrong) await send(text, refused(code));
  await has(({ type }) => type === 'delta');
  await has(({ type }) => type === 'delta', events);
  // An exchange fails, which sends a status message.
  await exchanges.fault({ venue: 'bithumb', fault: 'mute' });
  await exchanges.fault({ venue: 'bithumb', fault: 'status', status: 503 });
  await has(({ type, state }) => type === 'status' && state !== 'up');
  await has(({ type, state }) => type === 'status' && state !== 'up', events);
  await sisepan.kill();
  await has(({ type }) => type === 'closing');
  await has(({ type }) => type === 'closing', events);
  await followed;

  const documentedTypes = names(stream.operations.say.messages);
  const occurred = verifyAll(check, received, documentedTypes);
  // A heartbeat is only sent without updates; the test of the examples in docs/api.md covers it.
  assert.deepEqual(documentedTypes.filter((type) => !occurred.has(type) && type !== 'heartbeat'), [], 'every message occurred');
  const pushed = names(stream.operations.push.messages);
  const pushedTypes = verifyAll(check, events, pushed);
  assert.deepEqual(pushed.filter((type) => !pushedTypes.has(type) && type !== 'heartbeat'), [], 'every event occurred');
  verifyAll(check, sent, names(stream.operations.hear.messages));
  // The schema of a request rejects what the server rejects.
  for (const [text, code] of wrong.filter(([, code]) => !['bad-json', 'unknown-type', 'unknown-board', 'unknown-market'].includes(code))) {
    assert.notEqual(check(schemaOf('subscribe'), JSON.parse(text)), '', `${code}: ${text}`);
  }
});

test('the examples of docs/api.md match the documents', async () => {
  const page = await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8');
  const examples = [...page.matchAll(/<!-- example: ([a-z-]+) -->\n```json\n([^`]+)```/g)].map(([, name, text]) => [name, JSON.parse(text)]);
  const messages = examples.filter(([, { type }]) => type && schemaOf(type));
  const types = verifyAll(checker(stream), messages.map(([, message]) => message), Object.keys(stream.components.messages));
  assert.deepEqual(Object.keys(stream.components.messages).filter((type) => !types.has(type)), [], 'every message has an example');
  const check = checker(http);
  const shapes = { row: 'Row', 'row-unknown': 'Row', snapshot: 'Snapshot', markets: 'Markets', venues: 'Venues', history: 'History', 'history-bars': 'History', readyz: 'Readiness', problem: 'Problem' };
  for (const [name, shape] of Object.entries(shapes)) {
    const example = examples.find(([known]) => known === name)?.[1];
    assert.ok(example, name);
    assert.equal(check({ $ref: `#/components/schemas/${shape}` }, example), '', name);
  }
});
