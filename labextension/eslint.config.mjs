import js from '@eslint/js';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist/', 'lib/', 'node_modules/'] },
  js.configs.recommended,
  {
    files: ['**/*.{ts,mts}'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      eqeqeq: 'error',
      'no-console': ['error', { allow: ['warn', 'error'] }],
      'max-lines': ['error', 500],
    },
  },
  {
    // The chart, the panel and the list are plain TypeScript: they also run in a widget, outside JupyterLab.
    files: ['src/{api,chart,deploy,panel,sidebar}/**/*.ts', 'src/widget.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: ['@jupyterlab/*', '@lumino/*', '@jupyter/*', '**/lab/*'] },
      ],
    },
  },
  // A signal is connected to a method and its object: `connect(this.onChanged, this)`.
  { files: ['src/lab/**/*.ts'], rules: { '@typescript-eslint/unbound-method': 'off' } },
  { files: ['*.mjs'], languageOptions: { globals: globals.node } },
  { files: ['style/**/*.js'], languageOptions: { globals: globals.browser } },
);
