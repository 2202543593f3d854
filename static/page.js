// @ts-check
/**
 * Loads a page of this server as an inert document.
 *
 * XMLHttpRequest parses the response itself, so no string is passed to the HTML parser, which Trusted Types forbid.
 */

/** Timeout of a request. */
const TIMEOUT_MS = 20_000;

/** @param {string} url @returns {Promise<Document>} The page, also an error page of status 4xx; rejects otherwise. */
export function load(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('GET', url);
    request.responseType = 'document';
    request.timeout = TIMEOUT_MS;
    request.setRequestHeader('accept', 'text/html');
    request.setRequestHeader('cache-control', 'no-cache');
    request.onloadend = () => (request.status && request.status < 500 && request.response ? resolve(request.response) : reject(request));
    request.send();
  });
}
