"""Say how far behind the tables are, and what could be no row.

freshness     age of the oldest record and minute that is on its way
dead_letters  records that can be no row
operations    describe the routes
"""
