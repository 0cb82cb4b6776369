"""``quicksilver doctor``: whether a deployed stage is what it was deployed as, and works, from end to end.

Reading is ``aws/stage_reader.py``'s and the stores'; here are judgements, each a pure function of what was seen.
"""
