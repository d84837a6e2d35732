"""Proof under fire: seeded faults against the real server and the real catalog; then run again, and look.

    make faults N=300 SEED=1        one line per fault, a table at the end, exit code 1 at any violation
    make faults ONLY=17 SEED=1      that one fault again

``kinds`` says what breaks and when, ``story`` tells one fault from a fresh project to the check, ``proxy``
stands between pipeline and server, ``runs`` are the pipeline's processes, ``person`` works meanwhile,
``checks`` are what has to hold.

A seed and a number fix the kind, the place and all choices; what the machine makes of them (which request is
under way after 0.04 s) they do not. A violation that depends on that shows after a few tries.
"""
