"""The front doors, one folder each: thin translations between HTTP and the use cases.

* ``oci``    the OCI distribution API, under ``/v2/``
* ``ecr``    the API of Amazon ECR, ``POST /``
* ``sts``    AWS STS, forms at ``/``
* ``login``  who sends a request, and ``/token``
* ``admin``  what the command line asks of the node, on its control socket
"""
