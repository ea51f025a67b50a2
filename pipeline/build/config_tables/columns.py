"""Types that several tables share, and the columns of what a decision may suppose: a deployment, a candidate.

Apart from the rows, which read all of the configuration: a decision that supposes a row is not decided anew because the
configuration's code moved.
"""

import polars as pl

MONEY = pl.Decimal(38, 18)
VALID = {"valid_from_date": pl.Date(), "valid_to_date": pl.Date()}

# What a replica is of, declared of a deployment or a candidate.
_SERVED: dict[str, pl.DataType] = {
    "gpu_type": pl.String(),
    "parameters_billions": MONEY,
    "active_parameters_billions": MONEY,
    "bytes_per_parameter": MONEY,
    "kv_bytes_per_token": MONEY,
    "context_tokens": MONEY,
    "requests_at_once_count": pl.Int64(),
    "tokens_per_step": MONEY,
}

DEPLOYMENT_COLUMNS: dict[str, pl.DataType] = {
    "deployment_id": pl.String(),
    "model": pl.String(),
    "gpus_per_replica": pl.Int64(),
    "minimum_replicas": pl.Int64(),
    "spare_replicas": pl.Int64(),
    "tokens_per_second": MONEY,
    "prefill_tokens_per_second": MONEY,
    "cached_tokens_per_second": MONEY,
    "decode_tokens_per_second": MONEY,
    "peak_allowance": MONEY,
    "is_peak_allowance_declared": pl.Boolean(),
    "measured_on": pl.Date(),
    "capacity_source": pl.String(),
    **_SERVED,
    "token_cost_split": pl.String(),
    "token_cost_api_model": pl.String(),
    "input_uncached_weight_ratio": MONEY,
    "input_cache_read_weight_ratio": MONEY,
    "output_weight_ratio": MONEY,
    **VALID,
}

CANDIDATE_COLUMNS: dict[str, pl.DataType] = {
    "workload": pl.String(),
    **_SERVED,
    "gpus_per_replica": pl.Int64(),
    "gpu_hour_rate": MONEY,
    "tokens_per_second": MONEY,
    "tokens_per_api_token": MONEY,
    "engineering_hours_per_month": MONEY,
    "engineering_hour_rate": MONEY,
    "peak_allowance": MONEY,
    "currency": pl.String(),
    **VALID,
}
