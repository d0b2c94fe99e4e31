"""The durability drill: the whole product on loopback, every plug pulled, and a count of what was promised and sent.

`manage.py prove_durability` makes the surroundings (`surroundings`) and starts `python -m chatautodm.drill` in them,
one process a seed. There `drill` sets the stage (`stage`, `wire`), has webhooks sent (`traffic`, `sender`) while faults
happen (`faults`), and compares (`verdict`). What must come out of which event is written down once more in `expected`,
from the demo rules' description and not from their code.
"""
