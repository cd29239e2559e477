"""How predictions are named: by their jobs' ids without a prefix."""

from webapi.v1.named import Named

PREDICTION = Named("prediction", "")
