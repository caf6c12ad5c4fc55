"""Demo export servers: a made-up laboratory that answers as RSpace ELN does, and admissions offices as WebAdMIT.

They speak real HTTP, need the standard library only and import nothing of Strongroom: a simulator that shared code
with what it tests would share its mistakes. `rspace*` and `webadmit*` are the dialects; world, jobs, archive and
faults are RSpace's, `webadmit_world` and what it imports WebAdMIT's; server, message, control, switches and
worldclock serve all. `gitlab*` is for tests alone: nobody starts it from the command line.
"""

from flows.demo.faults import Faults
from flows.demo.server import DemoServer
from flows.demo.serving import announce, serve_forever
from flows.demo.webadmit_faults import WebAdmitFaults
from flows.demo.webadmit_server import WebAdmitServer
from flows.demo.webadmit_world import Admissions
from flows.demo.world import World

__all__ = [
    "Admissions", "DemoServer", "Faults", "WebAdmitFaults", "WebAdmitServer", "World", "announce", "serve_forever",
]  # fmt: skip
