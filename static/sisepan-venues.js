// @ts-check
/**
 * Shows the state of the exchanges in the sources of a widget.
 */

/**
 * Applies a status message, or a snapshot. After a snapshot every exchange counts as up: the server then sends a
 * status message for each one that is not.
 *
 * @param {import('./internal').Widget} widget
 * @param {{type: string, venue?: string, state?: string, reason?: {code: string} | null, group?: string, rows: import('./internal').Row[]}} message
 */
export function tell({ root, words }, { type, venue, state, reason, group, rows }) {
  for (const it of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-venue]'))) {
    const id = it.dataset.venue || '';
    // A polled snapshot is not followed by status messages, so only exchanges with a live price count as up.
    if (type === 'status' ? id !== venue : !group && !rows.some((row) => row.venue === id && row.state === 'live')) continue;
    const is = state || 'up';
    const why = reason && words.reason?.[reason.code];
    const word = words.link?.[is];
    const text = (words.venue[id] || id) + (word ? ' ' + word + (why ? ': ' + why : '') : '');
    it.setAttribute('data-state', is);
    if (it.textContent !== text) it.textContent = text;
  }
}
