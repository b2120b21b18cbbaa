"""Make page views.

traffic      views of a seed, good and faulty
kinds        the kinds of views
profile      what may change during a run, with its bounds
modes        when the next view is due
partitioner  the partition of a message"""
