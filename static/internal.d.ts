/** The types that the modules of the browser script share. For the type checker only; not served. */
import type { Row } from './sisepan';

export type { Row };
type Dict = Record<string, string>;

/** The texts of a widget in its language, from `data-words`. */
export interface Words {
  direction: Dict;
  state: Dict;
  /** Patterns for ages in seconds, minutes, hours and days; `#` is the placeholder for the number. */
  age: string[];
  venue: Dict;
  /** Connection states; only if the sources are shown, as is `reason`. */
  link?: Dict;
  reason?: Dict;
  base: string;
  zone: string;
  /** Offset of `zone` from UTC in hours, positive to the east. */
  hours: number;
  live: string;
  off: string;
}

/** A market of a widget, and the elements that show it. */
export interface Held {
  row: Row;
  /** Whether `row` has not been written into the page yet. */
  late: boolean;
  at: HTMLElement[];
}

/** A widget in the page. */
export interface Widget {
  root: HTMLElement;
  /** The custom element around the root, or the root itself. Events are dispatched on it. */
  host: HTMLElement;
  words: Words;
  /** Aborted when the widget is removed. Modules stop their work then; elements that they add have `data-added` (not empty for wrappers). */
  signal: AbortSignal;
  /** When the markup was last loaded from the server, in milliseconds since the epoch. */
  since: number;
  /** Since when reloading the widget fails; 0 if the last reload succeeded. While it is not 0, the widget is not live. */
  lost: number;
  /** Whether the widget is on screen; it is not updated otherwise. */
  seen: boolean;
  rows: Map<string, Held>;
  /** The elements of its rows, as found by the last `index()`. */
  parts: HTMLElement[];
  sub?: Sub;
  /** Finds the rows in the markup and subscribes to them. */
  index(): void;
  /** Stops updating the widget and restores the markup of the server, except for newer texts. */
  leave(): void;
  /** Called when the widget enters or leaves the screen. */
  see(seen: boolean): void;
  /** Dispatches the event `sisepan:<type>` on the host. */
  tell(type: string, detail?: object): void;
  /** Applies a complete row. */
  apply(row: Row): void;
  /** Writes a row into the page, if it has not been written yet. */
  show(held: Held): void;
  /** Writes the mark of a row: its fallback venue, its state or its age. */
  age(held: Held, now: number): void;
  /** Marks the widget as not live and reloads it. */
  renew(): void;
  /** Called once a second; `heard` is the time of the last message from the server, 0 for none. */
  tick(live: boolean, now: number, heard: number): void;
}

/** Starts a module for a widget. */
export type Run = (widget: Widget, kit: Kit) => void;

/** A subscription, shared by all widgets with the same parameters. */
export interface Sub {
  id: number;
  key: string;
  ask: { board?: string; basis?: string; markets?: string[]; lang?: string; interval_ms: number };
  widgets: Set<Widget>;
  /** The newest row of each market, complete. */
  rows: Map<string, Row>;
  epoch: string;
  /** Whether it has been sent to the server on this connection. */
  said: boolean;
  /** The last sequence; negative before the first message. */
  sequence: number;
  /** The group on the server, which all messages of this subscription carry. */
  group: string;
  /** Whether the rows are continued by the current connection. */
  fresh: boolean;
  /** Time of the last message while `fresh`, 0 for none. */
  heard: number;
}

/** The connection of the page, shared by all widgets. */
export interface Link {
  subs: Map<string, Sub>;
  /** The subscriptions to be sent to the server. */
  queue: Set<Sub>;
  socket?: WebSocket;
  /** Time of the last message of the server over any transport. */
  heard: number;
  /** When the current connection attempt began. */
  begun: number;
  /** When the page was last visible. */
  looked: number;
  /** Consecutive failures, for the back-off. */
  failures: number;
  /** Consecutive connections without a message. */
  strikes: number;
  /** Timer of the next reconnect, 0 for none. */
  retry: number;
  /** Timer until the next message may be sent, 0 for none. */
  pace: number;
  /** The last subscription id. */
  ids: number;
  /** Id of the subscription whose answer is pending, 0 for none. */
  asked: number;
  /** Whether the server has closed the connection for good. */
  over: boolean;
  /** The fallback transport while WebSockets are blocked. */
  detour?: Detour;
  /** Adds a widget to its subscription, which is created if needed. */
  join(widget: Widget): Sub;
  open(): void;
  close(): void;
  /** Reconnects after a delay: `wait` if the server has set one, else random with a back-off. */
  again(wait?: number): void;
  /** Queues a subscription, and sends queued ones within the rate limit of the server. */
  say(sub?: Sub): void;
  /** Applies a message of the WebSocket. */
  take(message: any): void;
  /** Applies a message to a subscription. */
  put(sub: Sub, message: any): void;
  /** Called once a second and after each message: updates the state of widgets and of the connection. */
  tick(now: number): void;
  /** Called when the page becomes visible or the network is back. */
  wake(): void;
  /** Closes the connection. */
  sleep(): void;
}

/** The fallback transports of a page. */
export interface Detour {
  /** Stops them; returns `undefined`, the new value of `Link.detour`. */
  stop(): undefined;
}

/** The functions that the script passes to its modules. */
export interface Kit {
  /** URL of the folder of the script. */
  home: URL;
  /** Whether every window with a widget is hidden. */
  hidden(): boolean;
  /** Formats a price of the feed with commas and without trailing zeros. */
  comma(price: string): string;
  /** Formats a time as ISO 8601, shifted by `hours`; empty if it is invalid. */
  moment(at: string | number, hours: number): string;
  /**
   * Requests an inert document from the server. XMLHttpRequest parses the response itself, so no string
   * is passed to the HTML parser, which Trusted Types forbid.
   * Rejects with the request unless the status is 200. A signal serves one request at a time.
   */
  get(where: string, signal: Pick<AbortSignal, 'onabort'>, type?: XMLHttpRequestResponseType): Promise<XMLHttpRequest>;
}
