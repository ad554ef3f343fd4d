"""Who sends a request, and ``/token``, where OCI clients get what they show the next time.

* ``entrance``     credentials in a request, of every kind, become a caller
* ``credentials``  what the Authorization header says
* ``token``        ``/token``
"""
