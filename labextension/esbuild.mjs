// The widget's one file: the panel and the chart with their styles inside, for a notebook without the sidebar's extension.
import * as esbuild from 'esbuild';

const options = {
  entryPoints: ['src/widget.ts'],
  outfile: '../autodeploy_magic/notebook/static/panel.js',
  bundle: true,
  format: 'esm',
  target: 'es2021',
  minify: true,
  legalComments: 'none',
  loader: { '.css': 'text' },
  banner: { js: '/* autodeploy_magic, Apache-2.0. Contains uPlot, MIT, (c) Leon Sorokin. */' },
  logLevel: 'info',
};

if (process.argv.includes('--watch')) {
  await (await esbuild.context(options)).watch();
} else {
  await esbuild.build(options);
}
