"""Authenticate requests: API keys, tokens (JWT) and programs of this host.

scopes     check the key or token of a request against the scope of its route
api_keys   cache API keys, and note when each was used
jwt        check tokens of another issuer
own_host   without keys, refuse what does not come from this host
"""
