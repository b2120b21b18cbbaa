"""Count clicks. The front answers plain clicks before they reach these routes.

routes       handle one click, many clicks, and preflights
bulk         check and count the items of a request with many clicks
operations   describe the routes
"""
