"""What a risk data scientist brings to Quicksilver, worked out on simulated data."""
