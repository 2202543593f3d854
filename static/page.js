// @ts-check
/**
 * Loads a page of this server as a document in which nothing runs.
 *
 * The browser parses what it loads itself: no script hands it a string, which Trusted Types would forbid.
 */

/** A request without an answer by then has failed. */
const ANSWER_MS = 20_000;

/** @param {string} where @returns {Promise<Document>} Rejects unless there is a page, be it one that says what was wrong. */
export function load(where) {
  return new Promise((resolve, reject) => {
    const ask = new XMLHttpRequest();
    ask.open('GET', where);
    ask.responseType = 'document';
    ask.timeout = ANSWER_MS;
    ask.setRequestHeader('accept', 'text/html');
    ask.setRequestHeader('cache-control', 'no-cache');
    ask.onloadend = () => (ask.status && ask.status < 500 && ask.response ? resolve(ask.response) : reject(ask));
    ask.send();
  });
}
