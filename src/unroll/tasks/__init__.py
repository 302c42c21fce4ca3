"""Tasks: what is learned, one folder per task.

``description.py`` says, without torch, what a task reads and reports and which networks it goes with. ``answers.py``
builds its network from blocks, with what it predicts; it needs torch alone, and so does a finished run.
``module.py`` has the LightningModule that trains the network and measures its figures.
"""
