"""The benchmark room: measures recall, packing and cost on conversations with marked evidence.

Nothing here asks a language model: a question names the turns that hold its answer, and what is
measured is whether memory finds them and whether they fit into a prompt.

=============================  ==================================================================
to                             call
=============================  ==================================================================
list what can be measured      :func:`mnemos.bench.tasks.list_tasks`
measure                        :func:`mnemos.bench.runner.run`
keep, read back                :func:`mnemos.bench.record.save`, :func:`mnemos.bench.record.load`
print                          :func:`mnemos.bench.report.report`
run a record again             :func:`mnemos.bench.replay.replay`
write the expected numbers     :func:`mnemos.bench.expected.write_expected`
check against them             :func:`mnemos.bench.expected.check_expected`
=============================  ==================================================================
"""
