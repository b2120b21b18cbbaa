"""List what is registered in Postgres, page by page. Commands write it (`tallybook/registries`).

banners     handler of the list of banners
trackers    handler of the list of trackers
words       search names in any case
operations  describe the routes
"""
