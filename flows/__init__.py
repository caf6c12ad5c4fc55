"""How exports come in: the systems' dialects, the engine, Prefect and the command line.

Not everything here is a Prefect flow: `backup.py` and `upkeep.py` are, the rest is what they call. Start with
`export.py` (the life of an export as values), then `lifecycle.py` (the engine), then `sources/base.py` (what a
dialect owes). How bytes are kept is the other package, `storage`.
"""
