"""The statistics of listening studies: pure functions on pandas tables, one row per answer.

Conventions
-----------
Tables have the columns that ``tables`` names; ``TableError`` (a ``UserError`` and ``ValueError``) says which is wrong.
Answers of simulated listeners (column ``simulated``) are never analysed together with people's.
Undefined numbers are NaN. Intervals are 95 % unless the name says otherwise. A listener is the unit that was sampled:
intervals are clustered by listener unless the name says otherwise.
"""
