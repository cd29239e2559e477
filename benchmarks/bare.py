"""The least that Celery can do: a task that only counts, with our settings, on the same Redis.

Worker: celery -A benchmarks.bare worker -Q bare …   Sender: python -m benchmarks.bare JOBS
"""

import itertools
import json
import os
import sys
import time

import redis
from celery import Celery

from tasks.queues import broker

QUEUE = "bare"
DONE = "forebay:bench:done"

app = Celery("bare", set_as_current=False)
app.add_defaults(lambda: broker.configuration(os.environ["FOREBAY_REDIS_URL"], timeout_s=5))
_count = itertools.count(1)


@app.task(name="bare.count")  # type: ignore[untyped-decorator]
def count(job_id: str, last: int) -> None:  # noqa: ARG001 as long as a job's id
    """Tells Redis when it has run `last` times, and begins anew."""
    global _count
    if next(_count) == last:
        _count = itertools.count(1)
        redis.Redis.from_url(os.environ["FOREBAY_REDIS_URL"]).rpush(DONE, json.dumps(time.time()))


def main() -> None:
    """Sends so many and waits until the last has run."""
    jobs = int(sys.argv[1])
    client = redis.Redis.from_url(os.environ["FOREBAY_REDIS_URL"], socket_timeout=120)
    client.delete(DONE)
    began_at, cpu_s = time.time(), time.process_time()
    for _ in range(jobs):
        app.send_task("bare.count", args=["0123456789abcdef0123456789abcdef", jobs], queue=QUEUE)
    popped = client.blpop([DONE], timeout=100)
    assert isinstance(popped, tuple)
    cpu_s = time.process_time() - cpu_s
    print(json.dumps({"began_at": began_at, "ended_at": json.loads(popped[1]), "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
