"""The use cases: the one place where the rules meet the store.

A use case is a function ``verb_noun(registry, caller, ...)``. Its first statement asks the policies. It takes
parsed values, never a client's text, and raises what ``protocol.errors`` names. ``def`` reads and never
waits; ``async def`` may, and a write returns when the change and its record are on disk.

* ``registry``      what every use case is given
* ``state``         how an entry of a record changes the tables: the only way that they change
* ``commit``        one record of what this node changes, appended and applied in one transaction
* ``repositories``  finding a repository, or creating it at its first push
* ``images``        putting, opening, deleting a manifest
* ``tags``          listing and deleting tags
* ``blobs``         opening and deleting a blob
* ``uploads``       a blob on its way in
* ``mounts``        a blob of one repository seen in another
* ``referrers``     what refers to a manifest
* ``catalog``       listing repositories, and how much is stored
* ``replication``   the rules, the wanted state of each destination, and how far it has come
* ``pullthrough``   which registry a repository is pulled through from
"""
