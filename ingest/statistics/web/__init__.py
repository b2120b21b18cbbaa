"""Return views, visitors and visits of a site.

statistics   make visits of rows, and count views
operations   describe the route
"""
