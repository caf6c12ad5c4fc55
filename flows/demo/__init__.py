"""A demo export server: an in-memory laboratory that answers as RSpace ELN really does, over real HTTP.

It needs the standard library only and imports nothing of Strongroom: a simulator that shared code with
what it tests would share its mistakes. One file per system's dialect (rspace); everything below them
(world, jobs, archive, faults) is theirs to use.
"""

from flows.demo.faults import Faults
from flows.demo.server import DemoServer
from flows.demo.serving import announce, serve_forever
from flows.demo.world import World

__all__ = ["DemoServer", "Faults", "World", "announce", "serve_forever"]
