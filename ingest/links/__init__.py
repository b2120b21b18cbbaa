"""Follow redirect links: count a click of the link's banner, then lead on to its destination.

routes       handle what the front does not answer: machines, HEAD, prefetches, limited and unknown links
location     join a destination with what a request may add to its query
operations   describe the route
"""
