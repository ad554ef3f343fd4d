"""Whether a store is as it has to be: everything that is derived is worked out a second time and compared.

Nothing is written. Each fault is a ``Finding``, told once where it is; what follows from it alone is not told again.
A walk reads each table once, in the order of its keys, a page at a time.

* ``findings``      what can be wrong, how much of it is told, and what to do
* ``tally``         two collections of keys compared in constant memory, whatever their order
* ``walk``          one pass over the tables, and what it collects
* ``reading``       the transaction of a walk: one for all, or one for each page of a store in use
* ``places``        keys taken apart, and what they are called for people
* ``repositories``  repositories, images, tags, and the fingerprints of them
* ``blobs``         blobs, small contents, chunk maps, links, what is due
* ``journal``       records, their chains and signatures, heads, cursors, the clock
* ``audit``         entries, their chain, checkpoints
* ``registers``     documents, principals, keys and rules
* ``replicas``      what is wanted at destinations
* ``chunks``        chunks of blobs and uploads, read and hashed where that is asked for
* ``store``         all of these in their order: ``check_store``
* ``again``         what differs, looked at once more in one transaction
* ``progress``      how far the check of a running node is
* ``running``       the check of a store that is in use
"""
