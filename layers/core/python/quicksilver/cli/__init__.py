"""The command line: thin commands over the capability modules."""
