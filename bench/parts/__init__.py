"""The measurements: each module has ``measure(bench) -> list[Figure]``.

* ``manifests``    GET and HEAD by tag
* ``authorized``   a manifest with a token and policies, beside an open node
* ``pulls``        a 200 MB blob, plain and over TLS
* ``uploads``      a 1 GB blob
* ``pushes``       small images, 8 and 64 at once
* ``memory``       idle, and with 200 slow readers
* ``replication``  a 1 GB image from node to node
* ``collection``   pulls while 100 000 images are collected, and files after churn
* ``scale``        a long list of tags, and the start of a store of a million manifests
"""
