"""The two-tower model: features, towers, losses, training, checkpoint and index.

Plain tables in, trained models and indexes out; nothing here knows of jobs, schedules or storage.
"""
