"""The marks to beat. Each module measures one thing, prints it beside its mark, and is run by
hand (`python -m benchmarks.NAME`) or all together (`python -m benchmarks`). Nothing here is a
test: figures move with the machine, so ratios are taken side by side in one run.
"""
