"""Backup of a node, and what is made of it again.

A backup is a directory with generations, each of them all that a node had at one moment. Nothing in it is believed
before it was compared with its name or its signature, and nothing of it is needed to read another generation.

* ``layout``       what lies in a backup, and what its bytes mean
* ``files``        files that are there as a whole or not at all
* ``tables``       which tables are in a backup
* ``source``       what is asked of the node, and a stopped one's answers
* ``running``      the answers of one that runs
* ``archive``      reading a backup; a chunk or a record of it, for repair
* ``destination``  writing one, and removing generations
* ``run``          one run: a generation more
* ``verify``       whether a backup is what its nodes wrote
* ``restore``      a store made of a generation
"""
