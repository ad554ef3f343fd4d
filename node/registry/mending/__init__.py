"""What is damaged is mended: from its own seal, from what it can be derived from, from the journal, from elsewhere.

A value of which one byte is wrong is found by its seal, whatever it is (``node.store.mend``). Of the rest:

* ``replay``    repositories, images and tags, out of the records of the journal
* ``derived``   indexes, counts, links, heads, cursors, fingerprints: from the rows that they follow from
* ``missing``   rows that others speak of and that are not there
* ``lost``      what cannot be mended, or not now
* ``rows``      one damaged row, by the table that says what leads back to it
* ``contents``  bytes of blobs and manifests, and their maps: from chunks that are here, or from another node
* ``repair``    one place after the other, what others depend on first

What nothing leads back to is ``Lost``: told, kept on the list, and set aside where something has to go on without it.
"""
