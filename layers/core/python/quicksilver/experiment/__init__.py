"""The statistics of experiments: sequences that hold at any time, and the verdict on them."""
