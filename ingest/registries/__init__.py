"""List what is registered in Postgres, page by page. Commands write it (`tallybook/registries`).

banners     handler of the list of banners
trackers    handler of the list of trackers
links       handler of the list of redirect links
sites       handler of the list of sites
words       search names in any case
operations  describe the routes
"""
