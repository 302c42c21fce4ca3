"""Tasks: what is learned, one folder per task.

``description.py`` says, without torch, what a task reads and reports and which networks it goes with; ``answers.py``
what its predictions are; ``module.py`` has the LightningModule, and builds it from the blocks of a network.
"""
