"""Any bytes in the place of what the program reads: only its own errors, no hang, no growth.

`targets` are what is fed, `mutation` makes inputs of good ones, `run` feeds a process with them, and `with_atheris`
lets a coverage-guided fuzzer choose them. What has once failed is kept in `corpus/` and is tried first.
"""
