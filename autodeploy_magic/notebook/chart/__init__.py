"""Pictures of what was measured, for paper, saved notebooks and mail; the live panel draws its own in the browser.

ink.py      what a drawing is made of, whoever paints it
palette.py  colours and signs
window.py   a `Series` to read from
scale.py    values and times to pixels, with ticks that people read
area.py     one chart: frame, curves, marks of what happened
panels.py   the charts of a deployment
paint.py    drawings as PNG and PDF, through matplotlib
svg.py      drawings as SVG
"""

from autodeploy_magic.notebook.chart.area import Box
from autodeploy_magic.notebook.chart.ink import Disc, Drawing, Label
from autodeploy_magic.notebook.chart.window import Window

__all__ = ["Box", "Disc", "Drawing", "Label", "Window"]
