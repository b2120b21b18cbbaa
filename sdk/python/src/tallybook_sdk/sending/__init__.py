"""Move records to the service, each once.

batch      records, items, and batches whose bytes never change
queue      records that wait in memory           spool    records that wait in a file and outlive a kill
answers    what an answer means for a batch      report   where every record is
courier    what to send and when: decides, and does nothing itself
worker     the thread that does what the courier decides, and the lock
setup      what a worker is made of               telling  callbacks and lines of the log
lifetime   the end of a process, and forks
http       one request within a deadline
"""
