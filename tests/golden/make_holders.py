"""How `holders-v2.json` was made, once. It is kept for ever and never made again.

    python tests/golden/make_holders.py FOLDER

Holders' files of format 2, with proofs, for the archive and the keys of `encrypted-v1.json`: one for each way to open
it, and one from before the second key.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from storage import keys
from tests.golden.make_encrypted import ID, KEYS, MACHINE, NOW, PHRASE


def main(folder: Path) -> None:
    """Make the file in `folder`."""
    made = [
        (secret, keys.wrap(KEYS[:count], secret, archive_id=ID, name=name, now=NOW))
        for secret, name, count in ((PHRASE, "Ö. Ünal", 2), (MACHINE, "night", 2), (MACHINE, "before", 1))
    ]
    told = {
        one.file: {
            "secret": secret,
            "keys": one.count,
            "proofs": [proof.hex() for proof in one.proofs],
            "text": keys.encode(one).decode(),
        }
        for secret, one in made
    }
    (folder / "holders-v2.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
