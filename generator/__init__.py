"""Generate page views, good and faulty, for tests and load.

service  a whole run: plan, sender, view and control endpoint
run      make and send the messages of a plan
ledger   what was sent, for checks and for `--resume`
control  change the load profile of a running generator
view     show a run
traffic  what is sent, and when
targets  where it is sent
"""
