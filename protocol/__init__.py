"""What is true without a machine: formats, rules and state machines.

Bytes, events and times go in; bytes, effects and decisions come out. Nothing here opens a socket or a file,
reads a clock or draws a random number: those are arguments. Read in this order:

* ``errors``  the conditions that the whole program knows, and what a client sees of each
* ``moment``  times as text
* ``oci``     names, digests, manifests, ranges and error bodies, as the OCI specifications have them
* ``blobs``   chunks, and the map that verifies each of them
* ``auth``    who asks, and who may
* ``rules``   replication, pull-through, where to connect: pure decisions
* ``ecr``     the API of Amazon ECR as data
* ``sync``    the hybrid clock, records and how they merge, vectors and fingerprints
* ``events``  what happened, as those outside are told
* ``wire``    what nodes say to each other
"""
