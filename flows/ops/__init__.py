"""Operations: what should have happened, who is told, what an administrator sees and installs.

`survey.py` holds what is known at an instant, as values; `surveying.py` asks archive, catalog and disks for it.
Everything else here reads a survey: `watch.py` finds what is wrong, and tables, report and metrics show it.
`look.py` does all of that once and tells who is to be told; `watched.py` is what flows do around their work.
"""
