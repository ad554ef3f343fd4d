"""How nodes that write apart come to the same state.

A node signs what it changed as a *record*; the state of a registry is the merge of all records, in any order and
any number of times. Merges are functions ``state, entry -> state`` on frozen structs, which the store keeps as
rows: each touches one repository, one image or one tag. ``None`` stands for "no row". Read in this order:

* ``clock``         stamps that order what happened, whatever the wall clocks say
* ``vector``        dots (who wrote, and which record of theirs) and what a set of them covers
* ``entries``       the kinds of change that a record can hold
* ``record``        the signed, chained form in which entries travel and are kept
* ``repositories``  lives, settings and deletes of a repository
* ``images``        which images are there: an observed-remove set
* ``tags``          where a tag points: a register with history
* ``registers``     documents, principals and keys: the last writer of a field wins
* ``storage``       registers that say which images are archived
* ``fingerprint``   sums that prove two states equal, or find where they differ
"""
