"""A sample of what was asked and answered, and the labels that came for it, in `requests.sqlite`.

Workers record some requests of each second, and every one that failed; who knows the true answers adds labels. Quality,
drift and re-tuning read both.

records.py    a recorded request, a label, and a row that has both
columns.py    the inputs of a request, or of a sample, as values by column
hidden.py     columns that are dropped or hashed: what stands in their place
schema.py     the tables, and how the file is opened
writing.py    requests into it, and what is too old or too much out of it
labels.py     labels into it: late, twice, contradictory, or of requests that nobody recorded
reading.py    what is new since last time; one request; rows without a label
rows.py       rows whole, as a model can be given them again
export.py     all there is, request by request; and how much it is
forgetting.py what is deleted for good
"""

from autodeploy_magic.reservoir.columns import columns_of
from autodeploy_magic.reservoir.export import Kept, exported, kept
from autodeploy_magic.reservoir.forgetting import forget
from autodeploy_magic.reservoir.hidden import hidden_columns, named, names_of
from autodeploy_magic.reservoir.labels import Accepted, Label, add_labels
from autodeploy_magic.reservoir.reading import Reader, one, recent, recent_labelled, unlabelled
from autodeploy_magic.reservoir.records import Labelled, Recorded

__all__ = [
    "Accepted",
    "Kept",
    "Label",
    "Labelled",
    "Reader",
    "Recorded",
    "add_labels",
    "columns_of",
    "exported",
    "forget",
    "hidden_columns",
    "kept",
    "named",
    "names_of",
    "one",
    "recent",
    "recent_labelled",
    "unlabelled",
]
