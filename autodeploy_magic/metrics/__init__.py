"""What a deployment measured of itself, in `metrics.sqlite`. Workers and the supervisor write, everything else reads.

tables.py      what is written: one-second roll-ups and comparisons of a shadow; how the file is opened for it
schema.py      the tables, the totals and minutes that triggers keep of them, and how an older file gets all that
histogram.py   latencies as histograms that can be merged, and the percentiles read from them
periods.py     one period as one summary
counters.py    what only grows, as it was at one moment
resources.py   rows of what the processes took
ledger.py      these rows on their way into the file: in batches, and kept while the disk is full
points.py      a span of time as one line of values: the one rule for charts, series and live points
window.py      a window of the file, read point by point
series.py      a window as points in time, as charts and data frames want it
follow.py      the newest seconds of a file that is being written
firsts.py      a window of answers that were streamed: how long it was to their first items
whole.py       all of such a window as one point
"""

from autodeploy_magic.metrics.histogram import GAMMA, Histogram, bucket, merge, quantile
from autodeploy_magic.metrics.periods import Comparison, Summary, Totals, by_version, comparison, recent, totals
from autodeploy_magic.metrics.tables import (
    INSERT,
    INSERT_COMPARISON,
    INSERT_FIRST,
    ComparisonRow,
    FirstRow,
    Rollup,
    forget,
    open_for_writing,
)

__all__ = [
    "GAMMA",
    "INSERT",
    "INSERT_COMPARISON",
    "INSERT_FIRST",
    "Comparison",
    "ComparisonRow",
    "FirstRow",
    "Histogram",
    "Rollup",
    "Summary",
    "Totals",
    "bucket",
    "by_version",
    "comparison",
    "forget",
    "merge",
    "open_for_writing",
    "quantile",
    "recent",
    "totals",
]
