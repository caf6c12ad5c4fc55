"""A backup behind a damaged pack: it is made, it is whole, and it stores anew only what cannot be proven."""

from __future__ import annotations

from storage.index import Index, pack_name
from storage.packs import Codec, Footer, Kind
from storage.records import Ended
from tests.doubles import overwrite
from tests.engine.bench import Bench


def damage(bench: Bench) -> tuple[int, int]:
    """Flip a byte in the largest block of content of the newest snapshot; bytes of the block, and of all packs."""
    newest = bench.snapshots()[-1]
    index = Index(bench.archive.backend, bench.archive.scheme)
    index.load(newest.manifest.packs)
    footers: dict[str, Footer] = {}
    for pack in newest.manifest.packs:
        footer = index.footer(pack)
        if footer is not None and any(footer.placed(row).kind == Kind.CONTENT for row in range(len(footer))):
            footers[pack] = footer
    pack, block = max(
        ((pack, block) for pack, footer in footers.items() for block in footer.blocks if block.codec == Codec.RAW),
        key=lambda one: one[1].stored,
    )
    data = bytearray(bench.archive.backend.get(pack_name(pack)))
    data[block.offset + block.stored // 2] ^= 1
    overwrite(bench.archive.backend, pack_name(pack), bytes(data))
    return block.stored, sum(len(bench.archive.backend.get(name)) for name in bench.archive.backend.list("packs/"))


def test_only_what_cannot_be_proven_is_stored_anew(bench: Bench) -> None:
    """Each night behind the damage is verified and reads whole; the second stores no more than any other."""
    bench.run("user")
    bench.world.pass_nights(1)
    usual = bench.run("user")
    usual_bytes = bench.archive.find(usual.snapshot).manifest.stored_bytes
    _, everything = damage(bench)
    nights = []
    for _ in range(2):
        bench.world.pass_nights(1)
        nights.append(bench.run("user"))
    kept = [bench.archive.find(night.snapshot) for night in nights]

    assert [night.ended for night in nights] == [Ended.VERIFIED, Ended.VERIFIED]
    assert [len(bench.content(found)) for found in kept] == [found.manifest.size for found in kept]
    assert kept[0].manifest.objects_reused > kept[0].manifest.objects_new
    assert kept[0].manifest.stored_bytes < everything // 2
    assert kept[1].manifest.stored_bytes < 2 * usual_bytes
