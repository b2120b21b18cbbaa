"""Count hits of trackers.

routes          handle hits, pixels and preflights
request_facts   take the facts of a hit from a request
record          turn the facts into a record, by the privacy settings: for these routes and for the front
request_url     rebuild the address that the client requested
cookie          read and write the cookie `user_id`
bots            recognise machines by their user agent
operations      describe the routes
"""
