"""Stream the clicks of open minutes as they change (server-sent events).

feed        one reader per worker, for whatever its streams want
stream      one answer: frames, bounds and ends
routes      handler
operations  describe the route
"""
