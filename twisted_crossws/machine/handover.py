"""
The channel by which a master hands accepted connections to a worker: a pair of Unix sockets.

::

    master → worker    "c" × n, and n descriptors with it                  n connections, at most BATCH at once
                       "."                                                 a sign of life, for which it was asked
    worker → master    received, open, returned, asks (8 + 4 + 4 + 4)      a report

A report says how many connections the worker has read from this channel so far, how many it has open now, and how many
of those read last it could not take, because it had no descriptors left; and 1 or 0, whether it asks for a sign of
life. The first report says that the worker listens. Further ones follow whenever connections were read, and some time
after connections have ended.

No connection is lost on the way, and none is served twice, by three rules:

 - the master keeps its own copy of a connection until the report of it is there;
 - the worker begins to serve a connection when the report of it is sent;
 - who closes the channel says by that what becomes of the connections in it. If the worker does, or dies, it has not
   read them, and the master gives them to another worker. If the master does, or dies, the worker serves them.

L{giver<twisted_crossws.machine.giver>} is the master's end, L{taker<twisted_crossws.machine.taker>} the worker's. The
master has no more than L{WINDOW} connections under way to a worker, so that few clients wait for one that is stuck.
"""

from __future__ import annotations

import struct

#: Connections in one message: what a worker takes in one turn, which are some milliseconds of handshakes.
BATCH = 32

#: Connections on their way to one worker. It is a batch, so that a worker always finds work and hoards none.
WINDOW = BATCH

#: Seconds after which a worker that has not taken a connection is stuck, and gets no further one until it has.
PATIENCE = 0.25

#: Seconds that a worker rests which had no room for a connection.
REST = 1.0

#: Seconds from the end of a connection to the report of it, which is one for all that end meanwhile.
INTERVAL = 0.02

#: What comes with the descriptor of each connection.
CONNECTION = b"c"

SIGN_OF_LIFE = b"."

REPORT = struct.Struct("!QIII")
