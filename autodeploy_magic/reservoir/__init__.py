"""A sample of what was asked and answered, and the labels that came for it, in `requests.sqlite`.

Workers record some requests of each second, and every one that failed; who knows the true answers adds labels. Quality,
drift and re-tuning read both.

records.py    a recorded request, a label, and a row that has both
columns.py    the inputs of a request, or of a sample, as values by column
schema.py     the tables, and how the file is opened
writing.py    requests into it, and what is too old or too much out of it
labels.py     labels into it: late, twice, contradictory, or of requests that nobody recorded
reading.py    what is new since last time; one request; rows without a label
"""

from autodeploy_magic.reservoir.columns import columns_of
from autodeploy_magic.reservoir.labels import Accepted, Label, add_labels
from autodeploy_magic.reservoir.reading import Reader, one, recent, recent_labelled, unlabelled
from autodeploy_magic.reservoir.records import Labelled, Recorded

__all__ = [
    "Accepted",
    "Label",
    "Labelled",
    "Reader",
    "Recorded",
    "add_labels",
    "columns_of",
    "one",
    "recent",
    "recent_labelled",
    "unlabelled",
]
