// The cell that deploys, as a person would write it: it stays in the notebook, and can be run again.

export interface Choice {
  name: string;
  model: string;
  /** "" for none. */
  sample: string;
  /** null: as it is set. */
  workers: number | null;
}

export const LOAD = '%load_ext autodeploy_magic';

export function deployCell(choice: Choice): string {
  const words = ['%%deploy', choice.name, '--model', choice.model];
  if (choice.sample !== '') words.push('--sample', choice.sample);
  if (choice.workers !== null) words.push('--workers', String(choice.workers));
  return words.join(' ');
}
