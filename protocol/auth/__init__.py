"""Who is who, and who may.

* ``caller``      who asks: what every use case is told
* ``names``       accounts, regions, registries, nodes, and the URI in a certificate
* ``invitation``  the token with which a node joins, and the proof that it holds it
"""
