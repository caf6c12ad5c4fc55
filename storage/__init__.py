"""How bytes are kept: objects in packs, packs named by snapshots, snapshots chained per scope.

Knows nothing of HTTP, of Prefect or of any system that is backed up, and is useful alone. The nouns, from small
to large: an *object* is a run of bytes kept once, named by an *oid*; a *pack* is an immutable file of many
objects; a *listing* names the files of one snapshot and how each is kept; a *manifest* is the small JSON file
that makes a *snapshot* exist; the *archive* is all of it on a *backend*. `FORMAT.md` specifies every byte.
"""
