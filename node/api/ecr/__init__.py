"""The API of Amazon ECR, private and public: AWS JSON 1.1, ``POST /`` on the client port.

* ``door``        what a handler is given
* ``operations``  the table of all operations: name, IAM actions, handler
* ``body``        the body of a request, received within bounds and read
* ``dispatch``    the application: from a request to the answer of a handler
* ``answer``      results and errors as the protocol has them
* ``paging``      tokens that lead to the next page
* ``naming``      names of repositories

Handlers:

* ``repositories``  repositories and their settings
* ``tags``          resource tags
* ``images``        images, and what refers to them
* ``layers``        layers
* ``public``        public repositories and the public registry
* ``catalog``       what these say of themselves
* ``policies``      policies of repositories and of the registry
* ``lifecycle``     lifecycle policies
* ``templates``     repository creation templates
* ``authorization``  passwords for OCI clients
* ``account``       settings of the account, principals whose pulls do not count
* ``scanning``      which repositories are scanned, and scans
* ``signing``       which images are signed
* ``storage``       storage classes of images
* ``replication``   replication rules, and how far images have come
* ``backfills``     replication backfills
* ``pullthrough``   pull through cache rules

A handler does four things and no more: parse what the shapes leave open, call one use case, shape the answer, return
it.
Source: AWS JSON 1.1 protocol (Smithy); Amazon ECR and ECR Public API references.
"""
