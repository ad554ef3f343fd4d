"""What the node tells about itself: a structured log, an access log, numbers.

Nothing here is set up by an import; ``node.daemon`` builds each part and hands it on. All other rooms may use this
one, which uses none of them, so everything comes in as plain values. What strangers choose (paths, names, user
agents) may fill a field of a log line, escaped and cut short, and is never the label of a metric.

* ``text``     what strangers chose, escaped
* ``lines``    lines to a file descriptor, without ever waiting for its reader
* ``log``      structlog over it: ``structlog.get_logger()`` in any module, ``configure_log`` once at the start
* ``access``   one line for each request
* ``durations`` how long something took, in buckets
* ``metrics``  what ``/metrics`` shows
* ``alarms``   conditions that somebody has to look at
* ``tracing``   what one request did, here and at other nodes, and how long each part took
* ``exporting`` sends that to a collector, in the background
* ``otlp``      as collectors take it
* ``posting``   one POST of it
* ``holds``    who holds up the event loop
* ``usage``    descriptors and memory, and their limits
* ``loop``     measures how late the event loop is
"""
