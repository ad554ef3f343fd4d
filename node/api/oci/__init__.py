"""The OCI distribution API, under ``/v2/``, and the node's health and metrics beside it.

* ``door``       what a handler is given
* ``answer``     runs a handler and turns a ``Refusal`` into an OCI error
* ``challenges``  a refusal as the client sees it: how it logs in, where that would help
* ``content``    bodies, ranges and conditions: what GET of a manifest and of a blob share
* ``manifests``  ``/v2/<name>/manifests/<reference>``
* ``blobs``      ``/v2/<name>/blobs/<digest>``
* ``downloads``  layers by the URLs that ECR's API gives
* ``uploads``    ``/v2/<name>/blobs/uploads/``
* ``listings``   tags, the catalog and referrers, page by page
* ``logos``      ``/logos/<name>``: logos of public repositories
* ``health``     ``/healthz``, ``/readyz``, ``/metrics``
* ``recent``     manifests that were asked for since the last write
* ``routes``     the table of all of them

A handler does four things and no more: parse, call one use case, shape the answer, return it.
Source: OCI distribution-spec 1.1 and its main branch.
"""
