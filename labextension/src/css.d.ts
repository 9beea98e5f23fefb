/** A style sheet's text: esbuild puts it into the widget's file. JupyterLab loads the same sheets from style/index.js. */
declare module '*.css' {
  const text: string;
  export default text;
}
