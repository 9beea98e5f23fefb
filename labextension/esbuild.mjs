// The widget's one file: the panel and the chart with their styles inside, for a notebook without the sidebar's extension.
import { readFile } from 'node:fs/promises';
import * as esbuild from 'esbuild';

/** Style sheets as text, without what only people read. */
const sheets = {
  name: 'sheets',
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await esbuild.transform(await readFile(path, 'utf8'), { loader: 'css', minify: true });
      return { contents: code, loader: 'text' };
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
