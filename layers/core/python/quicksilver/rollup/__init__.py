"""The rollup: what each arm did in each period, counted from the prediction stream, each record once."""
