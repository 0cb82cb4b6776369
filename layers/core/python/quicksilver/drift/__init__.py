"""Drift: what an endpoint's predictions are like now, against what its model was trained on.

The archive is counted into bins by the query engine (``histogram_sql``), and Python sees nothing but bins (``counts``).
``judgement`` compares them; ``run`` goes through the windows that are due, and leaves a ``result`` for each.
"""
