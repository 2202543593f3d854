// @ts-check
/**
 * Says in a widget what is known of the exchanges that its prices come from.
 */

/**
 * Takes the state of an exchange, or a snapshot: after one only those are told that are not up.
 *
 * @param {import('./internal').Widget} widget
 * @param {{type: string, venue?: string, state?: string, reason?: {code: string} | null, group?: string, rows: import('./internal').Row[]}} message
 */
export function tell({ root, words }, { type, venue, state, reason, group, rows }) {
  for (const it of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-venue]'))) {
    const id = it.dataset.venue || '';
    // One that was asked for, without a stream, is followed by no state: a live price tells as much.
    if (type === 'status' ? id !== venue : !group && !rows.some((row) => row.venue === id && row.state === 'live')) continue;
    const is = state || 'up';
    const why = reason && words.reason?.[reason.code];
    const word = words.link?.[is];
    const text = (words.venue[id] || id) + (word ? ' ' + word + (why ? ': ' + why : '') : '');
    it.setAttribute('data-state', is);
    if (it.textContent !== text) it.textContent = text;
  }
}
