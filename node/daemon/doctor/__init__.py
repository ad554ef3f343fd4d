"""``entrepot doctor``: looks at all that a node depends on, and says what to do.

Each check is a function from facts to a ``Check``: what it is about, whether it is well, what was found, what to do.
Those that a node has to answer for itself (its limits, its peers) run in the node, and where none runs the command does
what can be done without it. A check never changes anything but a small file that it writes, syncs and removes.

* ``checks``         what a check says
* ``disk``           room, the file system, how long it takes to sync
* ``machine``        limits of the process, memory, the kernel's settings of the network, the clock
* ``configuration``  what is allowed and still not wise, certificates
* ``running``        all checks of a node that runs
* ``stopped``        all checks of a directory that no node serves
"""
