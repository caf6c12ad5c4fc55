"""Run the demo server by itself: `python -m flows.demo --port 8080`; it prints one JSON line and serves.

It does not configure or start any backup.
"""

import argparse
from datetime import UTC, datetime

from flows.demo.roster import SMALLEST
from flows.demo.serving import serve_forever

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description="Demo export server for 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--webadmit-port", type=int, default=0, help="of WebAdMIT's API; 0 picks a free one")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another laboratory")
    parser.add_argument("--poll-free", action="store_true", help="jobs are finished at the first poll")
    parser.add_argument("--users", type=int, default=SMALLEST, help="people besides the sysadmin")
    parser.add_argument("--groups", type=int, default=1, help="lab groups, each with a leader")
    parser.add_argument("--never-logged-in", type=int, default=0, help="more people, without a home folder")
    parser.add_argument(
        "--system-folders", action="store_true", help="Templates, Examples and Shared in each home"
    )
    parser.add_argument("--start", type=datetime.fromisoformat, help="when it is there, in UTC; now by default")
    given = vars(parser.parse_args())
    at = given.pop("start")
    given["start"] = datetime.now(UTC) if at is None else at.replace(tzinfo=at.tzinfo or UTC)
    serve_forever(given.pop("port"), given.pop("seed"), **given)
