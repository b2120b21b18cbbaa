"""Sign in to the dashboard, and say what a client may send.

routes      begin, show and end a session
limits      bounds of clicks and events, the time of the service, and the scopes of a key
operations  describe the routes
"""
