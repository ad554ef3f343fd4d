"""Rules: functions from documents and facts to decisions, with the reason in the result.

Documents that people write are refused for every field that is not known, with the place. Nothing here looks anything
up: the same document and the same name give the same decision on every node.

* ``document``     ECR's rule documents as typed values, or where they are wrong
* ``replication``  which registries an image is for
* ``pullthrough``  which registry a repository comes from, and under what name
* ``upstreams``    the registries that a pull-through rule can name
* ``outbound``     which URLs and addresses this node may connect to on a rule's word
* ``lifecycle``    which images expire or are archived, and why the others stay
* ``mutability``   which tags may move
* ``tags``         resource tags
* ``texts``        policies as they come in a call, and how ECR refuses one
* ``scanning``     which repositories are scanned
* ``signing``      which images are signed
* ``catalog``      what a public repository says of itself
* ``templates``    what a repository is made from that nobody made
"""
