"""Gates: what a package must show before a person may approve it. Training side; not in a layer's hot path.

A gate is a function that returns checks; ``policy`` says what passes, ``report`` is what the registry keeps.
"""
