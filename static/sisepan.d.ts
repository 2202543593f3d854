/**
 * Types of sisepan.js: its elements, their options, and the events they send.
 *
 *     /// <reference path="sisepan.d.ts" />
 *     import type { RowEvent } from './sisepan';
 *     document.addEventListener('sisepan:row', (event) => console.log(event.detail.row.last));
 *
 * With React, JSX knows the elements once this file is among the program's sources.
 */

export type Basis = '24h' | 'utc-day' | 'kst-day';
export type State = 'live' | 'delayed' | 'stale' | 'halted' | 'unknown';
export type Direction = 'rise' | 'even' | 'fall';
/** Without a value it is on, as any attribute of HTML; `true` is how JSX spells that. `false` would leave the attribute out, so it is no value. */
export type Switch = 'on' | 'off' | 'true' | 'false' | '' | true;

export interface Change {
  basis: Basis;
  /** Rounded, with its zeros: `"2.10"`. */
  percent: string;
  amount: string;
  direction: Direction;
  base_price: string;
  base_at: string;
  base_source: 'window' | 'venue';
}

/** What an exchange warns the traders of a market of. */
export interface Notice {
  /** The most serious one in force. */
  kind: 'caution' | 'warning' | 'delisting';
  /** The announced day of delisting, in Korean time: `2026-12-01`. */
  date?: string;
  /** As the exchange names them: `PRICE_FLUCTUATIONS`. */
  cautions?: string[];
}

/** A row as the feed has it. Decimals are text: they are exact. */
export interface Row {
  market: string;
  base?: string;
  quote?: string;
  venue?: string;
  fallback?: boolean;
  last?: string | null;
  /** Null where the base is not known. */
  change?: Change | null;
  high_24h?: string | null;
  low_24h?: string | null;
  range_source?: 'venue' | 'window' | null;
  base_volume_24h?: string | null;
  quote_volume_24h?: string | null;
  state?: State;
  /** Only of a row that is halted. */
  reason?: 'suspended' | 'delisted' | null;
  /** What the exchange warns of; the price may be live all the same. */
  notice?: Notice | null;
  traded_at?: string | null;
  received_at?: string | null;
  confirmed_at?: string | null;
  /** As the page shows them; `no_change` says why there is a price and no change. */
  text?: { name: string; last: string; change: string; no_change?: string; notice?: string };
}

/** The attributes that all elements take. */
export interface SisepanOptions {
  /** A board of the server; its first if not given. */
  board?: string;
  /** Markets in the order wanted, with commas: `BTC-KRW,ETH-KRW`. */
  markets?: string;
  basis?: Basis;
  lang?: 'ko' | 'en' | 'ja';
  theme?: 'auto' | 'light' | 'dark';
  /** Which colours mean rise and fall: by region, or safe for colour-blind readers, or your own. */
  colors?: 'kr' | 'jp' | 'cn' | 'intl' | 'cb' | (string & {});
  size?: 'xs' | 's' | 'm' | 'l' | 'xl' | 'inherit';
  /** The columns of a board, with commas. */
  columns?: string;
  density?: 'normal' | 'compact' | (string & {});
  flash?: Switch;
  /** Where a name leads. */
  link?: string;
  credit?: Switch;
  transparent?: Switch;
  /** Shortest time between two changes, in milliseconds. */
  interval?: 0 | 100 | 250 | 500 | 1000 | 2000 | 5000 | `${number}`;
  /** How far back a chart begins. */
  span?: '24h' | '7d';
  /** How many risers and fallers. */
  count?: number | `${number}`;
  /** Whether the heading stands. */
  title?: Switch | (string & {});
  /** A control for readers who want changes spoken. */
  announce?: Switch | false;
}

/** An option's name; each is an attribute and, but for `announce`, a query parameter. */
export type SisepanOption = keyof SisepanOptions;

/** One widget. What stands inside is shown until the widget is there. */
export interface SisepanElement extends HTMLElement {}

/** A row is newer. Bubbles, out of shadow trees too. */
export type RowEvent = CustomEvent<{ row: Row }>;
/** How well off a widget is now: `on`, `off` without a connection, or the state of its best row. */
export type LiveEvent = CustomEvent<{ live: 'on' | 'off' | Exclude<State, 'live'> }>;

export interface SisepanElements {
  'sisepan-board': SisepanElement;
  'sisepan-tape': SisepanElement;
  'sisepan-card': SisepanElement;
  'sisepan-ticker': SisepanElement;
  'sisepan-movers': SisepanElement;
  'sisepan-chart': SisepanElement;
}

export interface SisepanEvents {
  'sisepan:row': RowEvent;
  'sisepan:live': LiveEvent;
}

/** What a frame of ours tells the page around it. */
export interface HeightMessage {
  type: 'sisepan:height';
  /** Pixels. */
  height: number;
}

/** What the page around tells a frame of ours; `auto` is the reader's system. */
export interface ThemeMessage {
  type: 'sisepan:theme';
  theme: 'auto' | 'light' | 'dark';
}

type JsxElement = SisepanOptions & { [name: string]: unknown; children?: unknown; class?: string; className?: string; id?: string; key?: string | number | null };
type JsxElements = { [Tag in keyof SisepanElements]: JsxElement };

declare global {
  interface HTMLElementTagNameMap extends SisepanElements {}
  interface HTMLElementEventMap extends SisepanEvents {}
  interface DocumentEventMap extends SisepanEvents {}
  namespace JSX {
    interface IntrinsicElements extends JsxElements {}
  }
}

// React 19 has its JSX in its own module; without React this says nothing.
declare module 'react' {
  namespace JSX {
    interface IntrinsicElements extends JsxElements {}
  }
}
