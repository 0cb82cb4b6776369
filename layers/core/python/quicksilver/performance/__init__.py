"""Performance: what predictions came to once their outcomes are known, and what it is likely to be before."""
