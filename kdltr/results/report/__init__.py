"""One page for a profile: `kdltr report quick` writes its report.html.

A single file that needs nothing else: images inside, no network, sortable tables, legible on a
phone, in the dark and on paper. It is made from the result files alone; no model is run. `claims`
lists what the paper states and finds what was measured of it, `tables` makes tables of rows,
`circumstances` says what the numbers were measured with, and `page` puts all of it together.
"""

from kdltr.results.report.page import render

__all__ = ["render"]
