/**
 * Types of sisepan.js: its elements, their options and their events.
 *
 *     /// <reference path="sisepan.d.ts" />
 *     import type { RowEvent } from './sisepan';
 *     document.addEventListener('sisepan:row', (event) => console.log(event.detail.row.last));
 *
 * In React, JSX accepts the elements once this file is part of the TypeScript program.
 */

export type Basis = '24h' | 'utc-day' | 'kst-day';
export type State = 'live' | 'delayed' | 'stale' | 'halted' | 'unknown';
export type Direction = 'rise' | 'even' | 'fall';
/** An attribute without a value is on, as in HTML; in JSX that is `true`. The boolean `false` is not a value, since JSX would omit the attribute. */
export type Switch = 'on' | 'off' | 'true' | 'false' | '' | true;

export interface Change {
  basis: Basis;
  /** Rounded, with trailing zeros: `"2.10"`. */
  percent: string;
  amount: string;
  direction: Direction;
  base_price: string;
  base_at: string;
  base_source: 'window' | 'venue';
}

/** The notice of an exchange for a market. */
export interface Notice {
  /** The most serious notice in force. */
  kind: 'caution' | 'warning' | 'delisting';
  /** The announced date of delisting, in Korean time: `2026-12-01`. */
  date?: string;
  /** Caution codes of the exchange: `PRICE_FLUCTUATIONS`. */
  cautions?: string[];
}

/** A quote row of the feed. Decimals are strings, so that they are exact. */
export interface Row {
  market: string;
  base?: string;
  quote?: string;
  venue?: string;
  fallback?: boolean;
  last?: string | null;
  /** Null if the base is not known. */
  change?: Change | null;
  high_24h?: string | null;
  low_24h?: string | null;
  range_source?: 'venue' | 'window' | null;
  base_volume_24h?: string | null;
  quote_volume_24h?: string | null;
  state?: State;
  /** Only set for a halted row. */
  reason?: 'suspended' | 'delisted' | null;
  /** The notice of the exchange; the price may still be live. */
  notice?: Notice | null;
  traded_at?: string | null;
  received_at?: string | null;
  confirmed_at?: string | null;
  /** The texts as the page shows them; `no_change` is the reason why a row with a price has no change. */
  text?: { name: string; last: string; change: string; no_change?: string; notice?: string };
}

/** The attributes of all elements. */
export interface SisepanOptions {
  /** The board to show. Default: the first. */
  board?: string;
  /** The markets to show, in this order; without board they can be of several boards. Default: those of the board; card, ticker and chart its first. */
  markets?: string;
  /** Language of texts, numbers and times. Default: browser language. */
  lang?: 'ko' | 'en' | 'ja';
  /** What changes are measured against; every widget names it. Where a change is unknown, its – explains why, on hover and to screen readers. Default: the board's. */
  basis?: Basis;
  /** Light or dark background; auto follows the color-scheme of the surrounding page at all times. Default: auto. */
  theme?: 'auto' | 'light' | 'dark';
  /** Colours of rise and fall: a set, by region or for colour-blind readers, or your own, as RRGGBB-RRGGBB. Default: by language. */
  colors?: 'kr' | 'jp' | 'cn' | 'intl' | 'cb' | (string & {});
  /** Text size in five steps; inherit matches the surrounding text. Default: m; a ticker inherit. */
  size?: 'xs' | 's' | 'm' | 'l' | 'xl' | 'inherit';
  /** The columns of a board, in this order; the name is always shown, first. Default: last,change. */
  columns?: string;
  /** Spacing between rows. Default: normal. */
  density?: 'normal' | 'compact' | (string & {});
  /** Whether a changed price lights up briefly; never under reduced motion. Default: on. */
  flash?: Switch;
  /** Where a name links to: nowhere, the market's page on this server, or a path on the host that shows the widget. Default: off. */
  link?: 'off' | 'market' | (string & {});
  /** Whether the exchanges are named, with their current problems. Default: on; tape and ticker off. */
  credit?: Switch;
  /** Whether the page behind shows through; in a frame only if theme matches the surrounding color-scheme (otherwise browsers paint the background of the theme). Default: off. */
  transparent?: Switch;
  /** Shortest time between two updates, in milliseconds. Default: 500. */
  interval?: 0 | 100 | 250 | 500 | 1000 | 2000 | 5000 | `${number}`;
  /** Time range of a chart. Default: 24h. */
  span?: '24h' | '7d';
  /** Number of risers, and of fallers. Default: movers.count, which is 5 if not set. */
  count?: number | `${number}`;
  /** Whether the heading is visible; screen readers always get it. Default: on. */
  title?: Switch | (string & {});
  /** A button with which screen-reader users turn on announcements of changes. */
  announce?: Switch | false;
}

/** The name of an option. Each is an attribute; all but `announce` are query parameters as well. */
export type SisepanOption = keyof SisepanOptions;

/** A widget. Its content is the fallback, shown until the widget is loaded. */
export interface SisepanElement extends HTMLElement {}

/** A row has changed. Bubbles, also out of shadow trees. */
export type RowEvent = CustomEvent<{ row: Row }>;
/** The state of a widget has changed: `on`, `off` without a connection, or the state of its best row. */
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

/** The message of an embed page to the page around it. */
export interface HeightMessage {
  type: 'sisepan:height';
  /** In pixels. */
  height: number;
}

/** The message of the surrounding page to an embed page; `auto` follows the visitor's system. */
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

// React 19 declares JSX in its own module; without React this has no effect.
declare module 'react' {
  namespace JSX {
    interface IntrinsicElements extends JsxElements {}
  }
}
