"""How many seconds each of our processes may take to stop; only after that is it killed."""

GRACE_S = 10.0  # a worker lets its jobs run on, unless FOREBAY_GRACE_S says otherwise
HAND_BACK_S = 2.0  # then it hands back what still runs
THREADS_S = 3.0  # and its threads come to the end of what they are doing
_GOODBYE_S = 5.0  # Celery lets go of the broker, the worker's row is deleted, its engine host is killed

API_GRACE_S = 5  # the API finishes what it has begun to answer; gunicorn takes whole seconds only
API_LIMIT_S = API_GRACE_S + 3.0


def worker_limit_s(grace_s: float) -> float:
    """The longest that a worker with this grace takes, when nothing of it hangs."""
    return grace_s + HAND_BACK_S + THREADS_S + _GOODBYE_S
