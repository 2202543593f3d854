// Prints the rows of a board as they change: node follow.mjs [BOARD SERVER]
import { setTimeout as sleep } from 'node:timers/promises';

const [board = 'krw', server = 'http://127.0.0.1:8080'] = process.argv.slice(2);
let rows = {}, lastEventId = '', wait = 1000;

function show({ market, state, last, change }) {
  if (state === 'live' || state === 'delayed') console.log(market, last, change ? `${change.percent}%` : '–', state);
  else console.log(market, 'not current:', state, 'last price', last);
}

for (;;) {
  const silence = new AbortController();
  const deadline = setTimeout(() => silence.abort(new Error('silent for 30 s')), 30_000);
  try {
    const headers = { 'Last-Event-ID': lastEventId };
    const answer = await fetch(`${server}/api/v1/events?board=${board}`, { headers, signal: silence.signal });
    if (!answer.ok) {
      const problem = `${answer.status} ${await answer.text()}`;
      if (answer.status >= 500) throw new Error(problem);
      console.error('refused:', problem);
      process.exit(1);
    }
    let text = '';
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      deadline.refresh(); // a heartbeat comes every 15 s
      const events = (text + chunk).split('\n\n');
      text = events.pop();
      for (const event of events) {
        const [, id, data] = /^(?:id: (.*)\n)?data: (.*)$/m.exec(event) ?? [];
        const message = JSON.parse(data ?? '{}');
        if (message.type === 'snapshot') rows = {};
        for (const changed of message.rows ?? []) show(Object.assign((rows[changed.market] ??= {}), changed));
        lastEventId = id ?? lastEventId;
        wait = message.retry_after_ms ?? 1000;
      }
    }
    throw new Error('the server ended the stream');
  } catch (error) {
    console.error('not connected:', error.message);
  }
  clearTimeout(deadline);
  await sleep(wait * (1 + Math.random()));
  wait = Math.min(Math.max(2 * wait, 1000), 60_000);
}
