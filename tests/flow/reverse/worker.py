"""`python -m tests.flow.reverse.worker …` starts a worker that knows the kind `reverse`, too."""

from tasks.kinds import KINDS
from tests.flow.reverse import kind, stage
from workers import serve
from workers.stages import STAGES

KINDS["reverse"] = kind.ReverseKind()
STAGES[kind.STAGE] = stage.reverse

if __name__ == "__main__":
    serve.main()
