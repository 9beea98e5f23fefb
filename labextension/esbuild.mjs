// The widget's one file: the panel and the chart with their styles inside, for a notebook without the sidebar's extension.
import { readFile } from 'node:fs/promises';
import * as esbuild from 'esbuild';

const INSIDE = '.adm-panel ';
/** One of its rules in a minified sheet; a comma stands within brackets alone. */
const RULE = /\.adm-panel (?:[^{},()]|\([^{}()]*(?:\([^{}()]*\)[^{}()]*)*\))+\{[^{}]*\}/;
const RULES = new RegExp(`(?<=^|[{}])(?:${RULE.source})+`, 'g'); // and not the end of a list of selectors;

/** Say once for rules that follow one another that they are of the panel: a tenth of a sheet is that word. */
function nested(css) {
  return css.replace(RULES, (rules) => {
    const inner = rules.replace(new RegExp(RULE.source, 'g'), (rule) => rule.slice(INSIDE.length));
    return inner.length + INSIDE.length < rules.length ? `${INSIDE.trim()}{${inner}}` : rules;
  });
}

/** Style sheets as text, without what only people read. */
const sheets = {
  name: 'sheets',
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await esbuild.transform(await readFile(path, 'utf8'), {
        loader: 'css',
        charset: 'utf8',
        minify: true,
      });
      return { contents: nested(code), loader: 'text' };
    });
  },
};

const options = {
  entryPoints: ['src/widget.ts'],
  outfile: '../autodeploy_magic/notebook/static/panel.js',
  bundle: true,
  format: 'esm',
  target: 'es2021',
  minify: true,
  charset: 'utf8',
  legalComments: 'none',
  plugins: [sheets],
  banner: { js: '/* autodeploy_magic, Apache-2.0. Contains uPlot, MIT, (c) Leon Sorokin. */' },
  logLevel: 'info',
};

if (process.argv.includes('--watch')) {
  await (await esbuild.context(options)).watch();
} else {
  await esbuild.build(options);
}
