"""Tests against a real Mayan EDMS. What it takes, on 2 cores; PyPI and Debian near at hand:

| what | idle | beside five times the work that the machine can do |
| --- | --- | --- |
| Debian's packages, once | 17 s | |
| environment of one version, once (480 MB) | 80 to 90 s | 150 to 360 s |
| pristine data of one version, once (2 MB; PostgreSQL 48 MB) | 30 s | 130 to 170 s |
| start with the pristine data | 4.3 to 4.8 s (PostgreSQL 5.5 s) | 20 to 50 s |
| stop, by SIGKILL | 0.05 s (PostgreSQL 0.1 s) | 0.5 s |
| memory: redis, gunicorn 1 + 1, Celery 1 + 1 | 622 MB resident, 379 MB of its own share | |

A server without a second gunicorn or Celery process is the smallest that is whole: in Celery's eager mode an upload
hangs, and a broker in memory is not seen by another process.
"""
