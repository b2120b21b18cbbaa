"""Take what pages report: `POST /c`.

routes       handle one request
items        the items of a request, and what is wrong with those that cannot be taken
banners      count clicks and impressions, each once
web          store views, leaves, events and links out
operations   describe the route
"""
