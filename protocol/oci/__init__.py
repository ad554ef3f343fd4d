"""The OCI specifications as data and pure functions.

* ``names``      repository names and tags
* ``digest``     ``algorithm:hex``, hashing, and the short form for keys
* ``mediatype``  which media types are manifests, and what text may be one
* ``document``   JSON that every reader reads alike
* ``manifest``   manifests and indexes, read strictly
* ``conversion``  a manifest of Docker as one of OCI, and the other way
* ``reference``  a tag or a digest; pages of a list and the Link to the next
* ``ranges``     Range and Content-Range, conditions, numbers
* ``errors``     error bodies
"""
