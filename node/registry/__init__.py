"""The use cases: the one place where the rules meet the store.

A use case is a function ``verb_noun(registry, caller, ...)``. Its first statement asks the policies. It takes
parsed values, never a client's text, and raises what ``protocol.errors`` names. ``def`` reads and never
waits; ``async def`` may, and a write returns when the change and its record are on disk.

* ``registry``      what every use case is given
* ``gate``          whether clients may change content at the moment
* ``readonly``      read-only mode, as an operator switches it
* ``condition``     whether pushes are taken, and why not
* ``transfers``     blobs that are being read
* ``activity``      all blobs on their way, for whoever watches
* ``authentication``  who sends a request
* ``identity``      users, groups, roles, their policies and keys
* ``vault``         the registry's key, for what nobody may read who has the disk alone
* ``authority``     who may: where policies meet the store
* ``simulation``    what would be decided, and why
* ``keyring``       the keys that seal what lies on the disk
* ``kms``           keys that an operator makes, under which repositories are encrypted
* ``sealing``       how repositories keep their bytes, and the keys by which they read them
* ``rewrapping``    keys wrapped anew after a rotation, and older ones destroyed
* ``session``       one upload in memory
* ``state``         how an entry of a record changes the tables: the only way that they change
* ``stamping``      the clock's ceiling
* ``audit``         who did what
* ``draft``         entries of a record to be
* ``registers``     what is kept beside repositories: documents, principals, keys, rules
* ``settings``      what is set for a repository
* ``current``       values made of both, kept until one of them changes
* ``commit``        one record of what this node changes, appended and applied in one transaction
* ``repositories``  finding, creating, deleting a repository
* ``resourcetags``  what repositories are told apart by
* ``details``       what is told of a repository
* ``gallery``       what public repositories say of themselves
* ``burial``        what lay in deleted repositories goes
* ``documents``     documents of the registry, each a register
* ``templates``     what a repository is made from that nobody made
* ``knownprincipals``  whether those exist that a policy names
* ``resourcepolicies``  policies of repositories and of the registry
* ``lifecycle``     lifecycle policies of repositories
* ``accountsettings``  settings of the account
* ``imageids``      an image as ECR's calls name it
* ``scanning``      which repositories are to be scanned
* ``scans``         scans that somebody starts
* ``signing``       which images are to be signed
* ``storage``       what is in the archive, and what was brought back
* ``exclusions``    principals whose pulls leave no trace
* ``pulls``         pulls that are not written down yet
* ``pulltimes``     when images were pulled last
* ``evaluation``    a repository's images as lifecycle rules see them
* ``previewing``    previews of lifecycle policies, in memory
* ``previews``      what a lifecycle policy would do
* ``images``        putting a manifest
* ``manifests``     opening a manifest
* ``imagebatches``  getting and deleting many images at once
* ``imagelists``    images as ECR lists them
* ``imagetags``     tags, each with its image
* ``deletes``       deleting images and tags
* ``quotas``        how much more a repository takes
* ``incoming``      how much memory manifests may take that are on their way in
* ``tags``          listing and deleting tags
* ``blobs``         opening and deleting a blob
* ``uploads``       a blob on its way in
* ``layerparts``    the same as ECR's API has it
* ``layers``        which layers are here
* ``downloads``     URLs from which a layer can be fetched
* ``mounts``        a blob of one repository seen in another
* ``referrers``     what refers to a manifest
* ``visible``       which repositories a caller is shown
* ``catalog``       listing repositories, and how much is stored
* ``replication``   the rules, the wanted state of each destination, and how far it has come
* ``backfilling``   backfills as they are stored
* ``backfills``     beginning, stopping and listing them
* ``backfillwork``  what lay here before a rule did is sent, once
* ``events``        what happened, derived from the journal at any position
* ``webhooksecrets``  what signs what they are told, sealed
* ``webhooks``      putting, showing, changing and trying who is told of events
* ``deliveries``    how far each webhook is, durably
* ``delivery``      what one webhook has come to since the start
* ``announcing``    what a destination is told, and what its answer means
* ``receiving``     an image of another registry becomes one of this
* ``transit``       a blob on its way from another node, readable as it arrives
* ``freshness``     when a tag that was pulled through was last compared
* ``serving``       what this node gives to other nodes
* ``elsewhere``     the seam through which a missing image is asked of another registry
* ``content``       bytes that came take their place
* ``damage``        the list of what is damaged
* ``mending``       what is damaged is mended
* ``repairs``       what is remembered of repairs
* ``scrub``         everything is read and compared, a step at a time
* ``scrubbing``     how far that has come
* ``collection``    what is due to go, goes
* ``orphans``       chunks that a killed node left over
* ``disk``          room, failures and old readers, noticed and told
* ``backup``        backup of a node, and a store made of one
* ``check``         whether the store is as it has to be: everything derived is worked out again
* ``pullthrough``   which registry a repository is pulled through from
"""
