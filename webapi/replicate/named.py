"""How predictions are named: by their jobs' ids without a prefix."""

from dialects.named import Named

PREDICTION = Named("prediction", "")
