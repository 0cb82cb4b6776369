"""Rollouts: the statistics, the look that judges one, and the run that looks every minute."""
