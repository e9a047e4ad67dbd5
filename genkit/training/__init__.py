"""The trainer and what it leans on: averages, checkpoints, schedules, estimates, trackers."""
