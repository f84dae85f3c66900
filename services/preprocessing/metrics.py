"""What the service's own process counts. Labels are a fixed vocabulary; nothing here can name a study."""

from prometheus_client import Counter, Gauge, Histogram

from services.common.metrics import SERVICE

STUDIES = Counter(
    "articula_studies_total", "Studies answered, by outcome and code.", ["outcome", "code"], registry=SERVICE
)
STUDIES_IN_WORK = Gauge("articula_studies_in_work", "Studies admitted and not yet answered.", registry=SERVICE)
BREAKER_OPEN = Gauge(
    "articula_triton_breaker_open",
    "1 while no study is let in because Triton failed.",
    registry=SERVICE,
)
STAGE_SECONDS = Histogram(
    "articula_stage_seconds",
    "Wall clock of one stage of one study.",
    ["stage"],
    registry=SERVICE,
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
