"""Quicksilver on AWS: what must outlive everything in one stack, what is replaced at each deployment in another."""
