"""asv suites, one file per question. Where bench_core and bench_harness meet; thin: workload in, number out.

asv imports every module in this folder, at every commit it measures, from the working tree: only suites and their
base live here, imports of the subject are guarded (`base.subject`), and what a worker process must find by name
(data sets, collate functions) lives in bench_core.
"""
