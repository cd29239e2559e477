"""`celery -A tests.flow.reverse.worker`: a worker that knows the kind `reverse`, too."""

from tasks.kinds import KINDS
from tests.flow.reverse import kind, stage
from workers.app import app
from workers.stages import STAGES

__all__ = ["app"]

KINDS["reverse"] = kind.ReverseKind()
STAGES[kind.STAGE] = stage.reverse
