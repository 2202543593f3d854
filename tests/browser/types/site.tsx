// Code of a host site that uses the published types; it is only compiled.
import type { RowEvent, SisepanOptions } from '../../../static/sisepan';

const options: SisepanOptions = { board: 'krw', lang: 'ko', theme: 'dark', interval: 500 };

export function Prices() {
  return (
    <main>
      <sisepan-board {...options} class="wide">
        <p>시세</p>
      </sisepan-board>
      <sisepan-ticker markets="BTC-KRW" size="inherit" />
      {/* @ts-expect-error: there is no such language */}
      <sisepan-card markets="BTC-KRW" lang="de" />
    </main>
  );
}

document.addEventListener('sisepan:row', (event) => {
  const last: string | null | undefined = event.detail.row.last;
  console.log(last);
  // @ts-expect-error: a decimal is text, never a number
  const wrong: number = event.detail.row.last;
  console.log(wrong);
});
document.querySelector('sisepan-board')?.addEventListener('sisepan:live', (event) => console.log(event.detail.live === 'off'));

export const percent = (event: RowEvent) => event.detail.row.change?.percent;
