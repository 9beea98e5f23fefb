"""A period of a deployment on paper: as one HTML file, a picture or a PDF.

made.py      find, compose, write; what is shown of it
findings.py  everything it is made of, asked once
compose.py   what it says: sections of parts
document.py  the kinds of parts
html.py      as a page that needs nothing else
pages.py     as pages of A4, or one long sheet
lines.py     how text is broken and tables are divided
file.py      where it is written, and what is never overwritten
"""

from autodeploy_magic.notebook.report.made import Report, make_report

__all__ = ["Report", "make_report"]
