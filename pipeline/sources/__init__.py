"""One file an export format. Adding one: the file, its entry here, a staging model, a fixture and its test."""

from pipeline.sources.anthropic_console_csv import SOURCE as ANTHROPIC_CONSOLE_CSV
from pipeline.sources.anthropic_cost_api import SOURCE as ANTHROPIC_COST_API
from pipeline.sources.anthropic_enterprise_costs import SOURCE as ANTHROPIC_ENTERPRISE_COSTS
from pipeline.sources.anthropic_usage_api import SOURCE as ANTHROPIC_USAGE_API
from pipeline.sources.api_bill_csv import SOURCE as API_BILL_CSV
from pipeline.sources.aws_cur import SOURCE as AWS_CUR
from pipeline.sources.aws_cur2 import SOURCE as AWS_CUR2
from pipeline.sources.aws_invoices import SOURCE as AWS_INVOICES
from pipeline.sources.azure_cost_details import SOURCE as AZURE_COST_DETAILS
from pipeline.sources.deepseek_usage import SOURCE as DEEPSEEK_USAGE
from pipeline.sources.digitalocean_invoices import SOURCE as DIGITALOCEAN_INVOICES
from pipeline.sources.drivers_csv import SOURCE as DRIVERS_CSV
from pipeline.sources.ecb_rates import SOURCE as ECB_RATES
from pipeline.sources.fireworks_costs import SOURCE as FIREWORKS_COSTS
from pipeline.sources.focus import SOURCE as FOCUS
from pipeline.sources.focus_usage import SOURCE as FOCUS_USAGE
from pipeline.sources.gcp_billing_export import SOURCE as GCP_BILLING_EXPORT
from pipeline.sources.gcp_cost_table import SOURCE as GCP_COST_TABLE
from pipeline.sources.gpu_bill import LINES
from pipeline.sources.invoice_csv import SOURCE as INVOICE_CSV
from pipeline.sources.litellm_activity import SOURCE as LITELLM_ACTIVITY
from pipeline.sources.litellm_focus import SOURCE as LITELLM_FOCUS
from pipeline.sources.litellm_spend_logs import SOURCE as LITELLM_SPEND_LOGS
from pipeline.sources.mistral_usage import SOURCE as MISTRAL_USAGE
from pipeline.sources.modal_billing_csv import SOURCE as MODAL_BILLING_CSV
from pipeline.sources.nvml_spool import SOURCE as NVML_SPOOL
from pipeline.sources.oci_cost_report import SOURCE as OCI_COST_REPORT
from pipeline.sources.openai_costs_api import SOURCE as OPENAI_COSTS_API
from pipeline.sources.openai_dashboard_csv import SOURCE as OPENAI_DASHBOARD_CSV
from pipeline.sources.openai_usage_api import SOURCE as OPENAI_USAGE_API
from pipeline.sources.openrouter_activity import SOURCE as OPENROUTER_ACTIVITY
from pipeline.sources.openrouter_generations import SOURCE as OPENROUTER_GENERATIONS
from pipeline.sources.owned_gpus import SOURCE as OWNED_GPUS
from pipeline.sources.prepaid_balance import SOURCE as PREPAID_BALANCE
from pipeline.sources.prepaid_csv import SOURCE as PREPAID_CSV
from pipeline.sources.prometheus import SOURCE as PROMETHEUS
from pipeline.sources.runpod_billing import SOURCE as RUNPOD_BILLING
from pipeline.sources.source import Source
from pipeline.sources.vast_charges import SOURCE as VAST_CHARGES

__all__ = ["GPU_BILLS", "SOURCES", "source_named"]

SOURCES: tuple[Source, ...] = (
    ANTHROPIC_COST_API,
    ANTHROPIC_USAGE_API,
    ANTHROPIC_CONSOLE_CSV,
    ANTHROPIC_ENTERPRISE_COSTS,
    OPENAI_COSTS_API,
    OPENAI_USAGE_API,
    OPENAI_DASHBOARD_CSV,
    OPENROUTER_ACTIVITY,
    DEEPSEEK_USAGE,
    FIREWORKS_COSTS,
    MISTRAL_USAGE,
    API_BILL_CSV,
    AWS_CUR2,
    AWS_CUR,
    AWS_INVOICES,
    AZURE_COST_DETAILS,
    GCP_BILLING_EXPORT,
    GCP_COST_TABLE,
    OCI_COST_REPORT,
    FOCUS,
    FOCUS_USAGE,
    LITELLM_FOCUS,
    LITELLM_ACTIVITY,
    LITELLM_SPEND_LOGS,
    OPENROUTER_GENERATIONS,
    INVOICE_CSV,
    DIGITALOCEAN_INVOICES,
    VAST_CHARGES,
    OWNED_GPUS,
    RUNPOD_BILLING,
    MODAL_BILLING_CSV,
    PREPAID_CSV,
    PREPAID_BALANCE,
    DRIVERS_CSV,
    NVML_SPOOL,
    PROMETHEUS,
    ECB_RATES,
)


# What bills GPUs by lines.
GPU_BILLS = frozenset(source.name for source in SOURCES if LINES in source.datasets[0].tables)


def source_named(name: str) -> Source | None:
    """The source of that name, or None."""
    return next((source for source in SOURCES if source.name == name), None)
