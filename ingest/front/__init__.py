"""The front: a worker's own listener on the event loop. It answers plain requests and relays every other byte.

listener    accept connections, bound them, close idle ones, stop in order
connection  one client: plain, waiting for a late answer, or relayed
plain       recognise plain requests by a strict pattern over the whole buffer
clicks      count plain clicks
hits        store plain hits of trackers
links       follow plain redirect links
answers     write the bytes of an answer
relay       one client's connection to Granian over a unix socket, and the count of its messages
inside      the ASGI application behind Granian, with the client's address put back into its scope
folder      the private folder of the unix socket
worker      run all of it in one process
"""
