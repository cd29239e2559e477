"""Batches: files of requests, each line of which is a job."""
