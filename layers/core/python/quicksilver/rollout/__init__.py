"""Rollouts: the look that judges one, what moves it, and the run that looks every minute."""
