"""Training on view pairs with Lightning: data, module, checkpoints that resume exactly, a registry of runs, budgets.

Everything here but `runs`, `order` and `budget` imports torch; the commands import it when they run.
"""
