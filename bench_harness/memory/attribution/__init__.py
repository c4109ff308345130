"""Copy-on-write attribution: which objects of the parent lie on the pages that its forked workers copied.

In the process of the target: `before_fork` and `worker_ends`. In the supervisor, after the run: `attribute`, `advise`.
They leave, in a folder of their own:

present.bin             Runs of pages: private pages of the parent just before its first worker started
census.json, .bin       which owners and types lie on which pages then (bench_harness.memory.attribution.census_file)
SERIAL.copied.bin       of a worker as its loader ended: how many pages are its own, and Runs of those it had inherited
"""
