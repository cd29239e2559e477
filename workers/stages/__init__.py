"""One file a stage: what a worker does for a part of a job."""
