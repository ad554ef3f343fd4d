"""What happened in a registry, as those outside are told: derived from records of the journal, never stored itself.

An event belongs to one entry of one record. Its id is made of the two, so whoever gets it twice can tell. Read in this
order:

* ``event``        from a record to events
* ``ecr``          an event as EventBridge has those of Amazon ECR
* ``cloudevents``  the same as a CloudEvent
* ``webhook``      who is told of what, and how
* ``signature``    what proves to a receiver who sent it
* ``request``      an event as it is posted
* ``queue``        which event is sent when: order for each repository, back-off, what is set aside
"""
