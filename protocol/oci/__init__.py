"""The OCI specifications as data and pure functions.

* ``names``      repository names and tags
* ``digest``     ``algorithm:hex``, hashing, and the short form for keys
* ``manifest``   manifests and indexes, read strictly
* ``ranges``     Range and Content-Range
* ``errors``     error bodies
"""
