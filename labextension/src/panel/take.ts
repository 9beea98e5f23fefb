// Serving what a re-tune found, and going back: what will happen is said before.

import type { Contender, Retune } from '../api/retunes';
import { h } from './dom';
import { praise } from './contender';
import { button, type Context } from './part';

export function takeDialog(retune: Retune, one: Contender, context: Context): void {
  const { model, trans } = context;
  const becomes =
    one.layout === null
      ? trans(
          'It becomes a new version of %1 and serves in the place of v%2.',
          model.name,
          servesNow(context),
        )
      : trans(
          'v%1 goes on and is run otherwise: %2. Its answers stay as they are.',
          servesNow(context),
          layoutText(one, context),
        );
  ask(
    context,
    trans('Take %1?', one.title),
    [
      `${praise(one, retune, trans)}.`,
      becomes,
      trans(
        'It is loaded and checked first, then takes over; no request is lost. Where it does not start, nothing changes.',
      ),
      trans('It is watched for a while then. Roll back brings back what serves now.'),
    ],
    trans('Take it'),
    () =>
      send(retune, 'take', { contender: one.id }, trans('Take %1', one.title), context, (now) =>
        tookText(now, one, context),
      ),
  );
}

export function undoDialog(retune: Retune, context: Context): void {
  const { trans } = context;
  const taken = retune.contenders.find((one) => one.id === retune.promoted);
  ask(
    context,
    trans('Roll back to how it was?'),
    [
      taken !== undefined && taken.layout !== null
        ? trans('v%1 is run as it was before %2 was taken.', retune.champion, taken.title)
        : trans(
            'v%1 serves again in the place of %2, which stays among the versions.',
            retune.champion,
            taken?.title ?? trans('what was taken'),
          ),
      trans('It is loaded and checked first, then takes over; no request is lost.'),
    ],
    trans('Roll back'),
    () =>
      send(retune, 'undo', {}, trans('Roll back the re-tune'), context, () =>
        trans('It serves as before the re-tune: v%1', retune.champion),
      ),
  );
}

/** "2 workers, batch_rows 0". */
export function layoutText({ layout }: Contender, { trans }: Pick<Context, 'trans'>): string {
  if (layout === null) return '';
  const settings = Object.entries(layout.settings).map(([name, value]) => `${name} ${value}`);
  return [layout.workers === 1 ? trans('1 worker') : trans('%1 workers', layout.workers), ...settings].join(
    ', ',
  );
}

function servesNow({ model }: Context): number {
  return model.glance?.status.version ?? 0;
}

function tookText(now: Retune, one: Contender, { trans }: Context): string {
  const version = now.contenders.find((other) => other.id === one.id)?.version ?? 0;
  return version > 0
    ? trans('v%1 serves now: %2', version, one.title)
    : trans('It is run otherwise now: %1', one.title);
}

function ask(context: Context, title: string, lines: readonly string[], word: string, go: () => void): void {
  const { trans, dialogs } = context;
  const yes = button(
    word,
    () => {
      opened.close();
      go();
    },
    { class: 'adm-primary' },
  );
  const opened = dialogs.open(title, h('div', {}, ...lines.map((text) => h('p', { text }))), [
    button(trans('Cancel'), () => opened.close()),
    yes,
  ]);
  yes.focus({ preventScroll: true });
}

function send(
  retune: Retune,
  verb: 'take' | 'undo',
  body: unknown,
  title: string,
  { model }: Context,
  done: (now: Retune) => string,
): void {
  void model
    .act<Retune>('retune', title, body, done, `/retunes/${encodeURIComponent(retune.id)}/${verb}`)
    .then((now) => {
      if (now !== null) model.retunes.put(now);
    });
}
