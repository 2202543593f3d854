/** What the modules of the browser script pass among themselves. Only for the type checker; never served. */
import type { Row } from './sisepan';

export type { Row };
type Dict = Record<string, string>;

/** The words of a widget in its language: `data-words`. */
export interface Words {
  direction: Dict;
  state: Dict;
  /** Patterns for seconds, minutes, hours and days, with `#` for the number. */
  age: string[];
  venue: Dict;
  /** Only where venues are named. */
  link?: Dict;
  reason?: Dict;
  base: string;
  zone: string;
  /** East of UTC. */
  hours: number;
  live: string;
  off: string;
}

/** A market of a widget, and the elements that show it. */
export interface Held {
  row: Row;
  /** Whether the page has yet to be told. */
  late: boolean;
  at: HTMLElement[];
}

/** One widget in a page. */
export interface Widget {
  root: HTMLElement;
  /** The element around it, or itself. Events come from here. */
  host: HTMLElement;
  words: Words;
  /** Aborted when the widget leaves. Whatever a module starts ends with it; elements that it adds have `data-added` (wrappers: not empty). */
  signal: AbortSignal;
  /** When the server last wrote its markup. */
  since: number;
  /** When a renewal from the server began to fail; 0 if the last one succeeded. Until then the widget is not live. */
  lost: number;
  /** On screen: only then it is written to. */
  seen: boolean;
  rows: Map<string, Held>;
  /** The elements of its rows, as they were found last. */
  parts: HTMLElement[];
  sub?: Sub;
  /** Finds the rows, and asks for them. */
  index(): void;
  /** Undoes what was done, so that the root is as the server wrote it but for newer texts. */
  leave(): void;
  see(seen: boolean): void;
  tell(type: string, detail?: object): void;
  /** Takes a whole row. */
  apply(row: Row): void;
  show(held: Held): void;
  /** Writes the small mark of a row: where it comes from, how old it is. */
  age(held: Held, now: number): void;
  /** Is not live until the server has written it anew. */
  renew(): void;
  /** Once a second; `heard` is when the server was last heard, 0 for never. */
  tick(live: boolean, now: number, heard: number): void;
}

/** What a module does for a widget. */
export type Run = (widget: Widget, kit: Kit) => void;

/** What some widgets of a page ask for, and what they were told. */
export interface Sub {
  id: number;
  key: string;
  ask: { board?: string; basis?: string; markets?: string[]; lang?: string; interval_ms: number };
  widgets: Set<Widget>;
  /** The newest row of each market, whole. */
  rows: Map<string, Row>;
  epoch: string;
  /** Whether this connection's server has been asked for it. */
  said: boolean;
  /** Below zero: nothing was told yet. */
  sequence: number;
  /** Who shares its bytes. */
  group: string;
  /** Whether what comes now continues what was told. */
  fresh: boolean;
  /** When the server was last heard while that was so, 0 for never. */
  heard: number;
}

/** The one connection of a page. */
export interface Link {
  subs: Map<string, Sub>;
  /** Those to be said to the server. */
  queue: Set<Sub>;
  socket?: WebSocket;
  /** When the server was last heard, in any way. */
  heard: number;
  /** When the newest connection was begun. */
  begun: number;
  /** When somebody last looked. */
  looked: number;
  failures: number;
  /** Connections in a row that brought nothing. */
  strikes: number;
  retry: number;
  pace: number;
  ids: number;
  /** The subscription whose answer is awaited, 0 for none. */
  asked: number;
  /** The server does not want us back. */
  over: boolean;
  /** Another way to the same rows, while this one is blocked. */
  detour?: Detour;
  join(widget: Widget): Sub;
  open(): void;
  close(): void;
  /** Connects anew after a while: that of the server, or a random one that grows. */
  again(wait?: number): void;
  /** Says what is to be said, at the pace that the server takes. */
  say(sub?: Sub): void;
  /** Takes a message of the WebSocket. */
  take(message: any): void;
  /** Takes a message for one subscription. */
  put(sub: Sub, message: any): void;
  tick(now: number): void;
  /** The page is seen again, or the network is back. */
  wake(): void;
  sleep(): void;
}

export interface Detour {
  stop(): undefined;
}

/** What the script hands to its other modules. */
export interface Kit {
  /** The folder of the script. */
  home: URL;
  /** Whether nobody sees any widget. */
  hidden(): boolean;
  /** A price as the feed writes it, with commas. */
  comma(price: string): string;
  /** A time as ISO 8601, moved by `hours`. */
  moment(at: string | number, hours: number): string;
  /**
   * Asks the server for a document, in which nothing runs. The browser parses what it loads itself:
   * no script hands it a string, so Trusted Types have nothing to forbid.
   * Rejects, with the request, unless the answer is 200. A signal is for one request at a time.
   */
  get(where: string, signal: Pick<AbortSignal, 'onabort'>, type?: XMLHttpRequestResponseType): Promise<XMLHttpRequest>;
}
