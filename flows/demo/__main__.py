"""Run the demo server by itself: `python -m flows.demo --port 8080`; it prints one JSON line and serves.

It does not configure or start any backup.
"""

import argparse

from flows.demo.server import serve_forever

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.demo", description="Demo export server for 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another laboratory")
    parser.add_argument("--poll-free", action="store_true", help="jobs are finished at the first poll")
    given = parser.parse_args()
    serve_forever(given.port, given.seed, poll_free=given.poll_free)
