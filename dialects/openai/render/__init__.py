"""Jobs and their events in OpenAI's words: functions of what they are given, and of nothing else."""
