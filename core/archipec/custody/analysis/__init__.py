"""What is found out about every message that is stored, by worker processes: its seal, the words to search it by.

A hostile message may harm what reads it; so nothing that takes messages apart runs in the process that stores them.
There is one pool of workers for all that is to be found out, and each message goes to a worker once.

Whoever wants something found out of every message writes two things:

- an analyzer: a function of the message that answers JSON, made by a *factory* in the worker (`Analyzer` names it,
  with its settings and its limits of time, memory and size);
- an `Analysis`, which lives in the command: it prepares the analyzer, says which stored messages it has no answer on,
  and records answers.

`archive` gives the pool what every sink has just made durable, out of memory, while the download goes on. It never waits
for the pool: what there is no room for is left for the pass at the end, which reads back from the archives what lacks an
answer (`stored`). So what was lost by a kill, by `--no-seals` or with a worker is made up for by any later run. An
answer may come twice, after a kill; recording it again must change nothing.

A message that ends or stalls a worker is found by giving each that the worker had to another one alone, for each
analysis that had not answered: that analysis gets None for the guilty one, and no other answer is lost.
"""
