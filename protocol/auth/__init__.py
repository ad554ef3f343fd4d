"""Who is who, and who may.

* ``names``       accounts, regions, registries, nodes, and the URI in a certificate
* ``invitation``  the token with which a node joins, and the proof that it holds it
"""
