"""The style of our pictures.

Colours come from the notebook's theme where it has them (JupyterLab, VS Code); what stands in for them elsewhere reads
on a light and on a dark page. A notebook that is not trusted drops the style: the elements alone still read in order.
"""

from __future__ import annotations

__all__ = ["STYLE"]

_RULES = """
.adm {
  --fg: var(--jp-ui-font-color1, var(--vscode-editor-foreground, inherit));
  --mut: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #7d8590));
  --line: rgba(128, 134, 145, .32);
  --soft: rgba(128, 134, 145, .1);
  --ok: var(--jp-success-color1, #1c9a68);
  --warn: var(--jp-warn-color1, #cf7a12);
  --bad: var(--jp-error-color1, #e0554a);
  --acc: var(--jp-content-link-color, var(--vscode-textLink-foreground, #4f74e8));
  color: var(--fg); border: 1px solid var(--line); border-radius: 8px; max-width: 820px; margin: 4px 0;
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, -apple-system, "Segoe UI", sans-serif);
  overflow: hidden; box-sizing: border-box;
}
.adm * { box-sizing: border-box; }
.adm .sec { padding: 9px 14px; }
.adm .sec:has(> .bar) { padding: 0; border: 0; }
.adm .sec + .sec { border-top: 1px solid var(--line); }
.adm .row { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 10px; }
.adm .grow { flex: 1 1 auto; }
.adm .name { font-size: 15px; font-weight: 600; }
.adm .mut { color: var(--mut); }
.adm .ok { color: var(--ok); }
.adm .warn { color: var(--warn); }
.adm .bad { color: var(--bad); }
.adm .dot { width: 9px; height: 9px; border-radius: 9px; background: currentColor; flex: none; }
.adm .tag {
  font-size: 11px; line-height: 17px; padding: 0 8px; border: 1px solid var(--line); border-radius: 99px;
  white-space: nowrap;
}
.adm .tag.ok, .adm .tag.warn, .adm .tag.bad { border-color: currentColor; }
.adm code, .adm pre {
  font: 12px/1.5 var(--jp-code-font-family, ui-monospace, Menlo, Consolas, monospace);
  color: inherit; background: var(--soft); border: 0; border-radius: 5px;
}
.adm code { padding: 1px 6px; overflow-wrap: anywhere; user-select: all; }
.adm pre {
  margin: 6px 0 2px; padding: 8px 10px; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 22em;
  overflow: auto;
}
.adm a { color: var(--acc); }
.adm p { margin: 0; }
.adm p + p { margin-top: 3px; }
.adm .nums { display: flex; flex-wrap: wrap; gap: 8px 26px; }
.adm .nums b {
  display: block; font-size: 17px; font-weight: 600; line-height: 1.35; font-variant-numeric: tabular-nums;
  white-space: nowrap;
}
.adm .nums small { color: var(--mut); font-size: 12px; }
.adm dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 0; }
.adm dt { color: var(--mut); font-weight: 400; margin: 0; }
.adm dd { margin: 0; overflow-wrap: anywhere; }
.adm details { margin: 0; }
.adm .folds { display: flex; flex-wrap: wrap; gap: 4px 22px; }
.adm .folds details { min-width: 0; }
.adm .folds details[open] { flex: 1 1 100%; }
.adm summary { cursor: pointer; width: fit-content; }
.adm summary:hover { color: var(--acc); }
.adm summary:focus-visible { outline: 2px solid var(--acc); outline-offset: 2px; border-radius: 3px; }
.adm .scroll { overflow-x: auto; }
.adm table { border-collapse: collapse; margin: 2px 0; font: inherit; color: inherit; border: 0; }
.adm tr, .adm thead tr, .adm tbody tr:nth-child(odd), .adm tbody tr:hover { background: none; border: 0; }
.adm th, .adm td {
  padding: 3px 16px 3px 0; text-align: left; vertical-align: top; border: 0; white-space: nowrap;
}
.adm td:last-child { white-space: normal; overflow-wrap: break-word; min-width: 12em; }
.adm th { color: var(--mut); font-weight: 400; white-space: nowrap; }
.adm .num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.adm ol { list-style: none; display: flex; flex-wrap: wrap; gap: 3px 14px; margin: 3px 0 0; padding: 0; }
.adm ol li { margin: 0; padding: 0; white-space: nowrap; }
.adm .time { color: var(--mut); font-variant-numeric: tabular-nums; }
.adm .bar { height: 3px; background: var(--soft); }
.adm .bar i { display: block; height: 100%; background: var(--acc); }
.adm .spin {
  display: inline-block; width: 10px; height: 10px; border: 2px solid var(--line); border-top-color: var(--acc);
  border-radius: 50%; animation: adm-spin .9s linear infinite; vertical-align: -1px;
}
@keyframes adm-spin { to { transform: rotate(360deg); } }
@media (prefers-reduced-motion: reduce) { .adm .bar { height: 3px; background: var(--soft); }
.adm .bar i { display: block; height: 100%; background: var(--acc); }
.adm .spin { animation: none; } }
"""

STYLE = "".join(line.strip() for line in _RULES.splitlines()).replace(".adm", ".adm" * 3)
"""The class is named three times since JupyterLab styles the tables and lists of an output with up to two classes."""
