"""Tests against a real Mayan EDMS. What it takes, on 2 cores; PyPI and Debian near at hand:

| what | alone | beside twice to five times the work it can do |
| --- | --- | --- |
| Debian's packages, once | 17 s | |
| environment of one version, once (480 MB) | 87 s | 150 to 360 s |
| pristine data of one version, once (2 MB; PostgreSQL 48 MB) | at most 45 s | 90 to 170 s |
| start with the pristine data | 4.3 to 4.8 s (PostgreSQL 5.5 s) | 20 to 50 s |
| stop, by SIGKILL | 0.05 s (PostgreSQL 0.1 s) | 0.5 s |
| memory: redis, gunicorn 1 + 1, Celery 1 + 1 | 622 MB resident, 379 MB where what is shared counts once | |
| the tests of this folder, all of that there | | 3 to 5 minutes |

One gunicorn worker and one Celery process are the smallest server that is whole: in Celery's eager mode an upload
hangs, and a broker in memory is not seen by another process.
"""
