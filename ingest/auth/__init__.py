"""Authenticate requests: API keys, tokens (JWT) and programs of this host.

scopes     check the key, token or session of a request against the scope of its route
caller     who calls
api_keys   cache API keys, and note when each was used
sessions   cache the sessions of the dashboard, and read and write their cookie
jwt        check tokens of another issuer
own_host   without keys, refuse what does not come from this host
"""
