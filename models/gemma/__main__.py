"""`python -m models.gemma` fetches the model."""

import sys

from models.gemma import weights

if __name__ == "__main__":
    sys.exit(weights.main())
