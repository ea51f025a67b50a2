"""The economics: pure functions behind every recommendation.

No I/O, no clock, standard library only. Money, volumes and ratios come in as Decimal or int and leave as
Decimal; inside, arithmetic is exact (integers and fractions).
"""
