"""Quicksilver: real-time risk scoring on AWS Lambda. One module is one capability; see docs/architecture.md."""
