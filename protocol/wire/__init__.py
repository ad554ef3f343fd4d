"""What nodes say to each other: msgpack in, typed messages out.

Frames are maps with a length before them; what this version does not know in them is skipped. Each kind has a
largest size and a rate, and whoever breaks one is cut off.

* ``messages``    the kinds of frame on a control stream
* ``frames``      bytes to messages and back, within the bounds of each kind
* ``sessions``    what two hellos agree on, and which of two sessions stays
* ``liveness``    when to ping, and when a silent peer counts as gone
* ``redial``      how long to wait before a peer is dialled again
* ``descriptor``  what a node says of itself, signed, for others to pass on
* ``transfer``    the calls: announcements, manifests, chunk maps, chunks
* ``joining``     the two bodies of a join
* ``traceparent`` which trace a request belongs to
"""
