"""Measurements beside other servers: each figure a ratio of medians from one interleaved run.

A figure alone says as much about the machine as about the program. So each part measures entrepot and its rival in
turns, round after round, on the same machine, with the same client, and what is compared is the medians. A client must
never be the bottleneck: what it costs is said with the figure.

* ``contestants``  start and stop entrepot, docker-registry and nginx, each with an image in it
* ``rounds``       take turns, and what a figure is
* ``sink``         clients that receive without copying, and slow ones
* ``source``       clients that push: one large blob by sendfile, many small images at once
* ``fill``         fill a store with a million images, by the same merges as pushes
* ``memory``       what a process occupies
* ``parts``        the measurements
* ``report``       bench/results.md
* ``run``          the command: ``python -m bench.run --only manifests``
"""
