"""The release of a function version: what is asked of it before and after it gets traffic, and what stops it."""

CHECK = "code_release_check"
"""The key of an event that is a check. API Gateway makes its events' keys itself, so that no caller of the API can send one:
a check is an invocation of the function, which takes ``lambda:InvokeFunction``."""
