"""What is on disk: the LMDB environments, their tables, and the two writers.

* ``table``      a named table of sealed values; each other table is one or wraps one
* ``mend``       what a value with one wrong byte was
* ``writer``     durable writes that share a commit
* ``rows``       what the tables of ``meta`` hold, and their keys
* ``meta``       the environment that holds everything small
* ``layout``     how LMDB lays out its pages
* ``chunks``     the environment that holds the chunks of large blobs
* ``filling``    buffers that fill with what arrives, and what all of them may take
* ``ingest``     bytes that arrive, hashed and written while the next ones come
* ``tree``       where in ``data.mdb`` a chunk lies, read without the map
* ``extents``    a blob's bytes as verified extents of that file, and the leases that keep them in place
* ``directio``   reading a file past the page cache
* ``damage``     the list of what is damaged
* ``copies``     the names of a blob's copies: one for each way in which repositories keep bytes
* ``blobs``      blobs, their contents, maps and the links through which they are seen
* ``sealedmap``  chunk maps of copies that are sealed
* ``keyfiles``   keys in files of their own, so that they can be destroyed
* ``uploads``    uploads that have not ended, as far as they would survive a crash
* ``journal``    the signed, hash-chained records of what changed
* ``sums``       fingerprints of the live entries, kept in the transaction that changes them
* ``registers``  documents, principals, keys and rules, each a register of fields
* ``audit``      who did what: the chain of entries, and checkpoints
* ``replicas``   how far images have come at destinations, and what was taken from sources
* ``notes``      when images were pulled last, and what became of scans
* ``documents``  rules as they were put, and counters
* ``pages``      the pages of an environment's file, and the ballast behind its end
* ``space``      how much room there is to write
* ``readers``    who reads for long, and keeps pages from being used again
* ``lock``       one process for a data directory
* ``format``     the version of what is on disk, and the way from each to the next
* ``whole``      what can be told of an LMDB file before it is opened
* ``store``      opens all of it, once, under a lock

What takes a ``ReadTxn`` sees one consistent state and never waits. What takes a ``WriteTxn`` runs on a writer's
thread and touches nothing but that transaction. No view of the map leaves the function that opened its transaction.
"""
