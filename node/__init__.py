"""The daemon: everything that touches a disk, a socket, a clock or a thread.

A request comes in at the top of this list and goes down; nothing below imports what is above.

* ``cli``        the ``entrepot`` command
* ``daemon``     the composition root: builds every part from the configuration and runs them in one tree
* ``api``        translations between HTTP and the use cases, one folder per front door
* ``peers``      identity, sessions with other nodes, and the drivers of the machines in ``protocol``
* ``upstream``   servers that rules name, and the one way to them
* ``jobs``       timed work and followers: expiry, collection, webhooks
* ``registry``   the use cases: the one place where the rules meet the store
* ``http``       the server engine; it knows nothing of registries
* ``store``      the LMDB environments and the tables in them
* ``config``     one file, the environment and flags, as typed values
* ``telemetry``  structured log, metrics
"""

__version__ = "0.1.0"
