"""The rollup: prediction records folded into counts, each once, and the recount that proves it."""
