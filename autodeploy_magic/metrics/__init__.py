"""What a deployment measured of itself, in `metrics.sqlite`. Workers and the supervisor write, everything else reads.

tables.py      what is written: one-second roll-ups, comparisons of a shadow, resources, events; and minutes of them
histogram.py   latencies as histograms that can be merged, and the percentiles read from them
periods.py     one period as one summary
series.py      a window as points in time, as charts and data frames want it
"""

from autodeploy_magic.metrics.histogram import GAMMA, Histogram, bucket, merge, quantile
from autodeploy_magic.metrics.periods import Comparison, Summary, Totals, by_version, comparison, recent, totals
from autodeploy_magic.metrics.tables import (
    INSERT,
    INSERT_COMPARISON,
    ComparisonRow,
    Rollup,
    forget,
    open_for_writing,
)

__all__ = [
    "GAMMA",
    "INSERT",
    "INSERT_COMPARISON",
    "Comparison",
    "ComparisonRow",
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
