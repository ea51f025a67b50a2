-- What the cloud bills among the files say of the models that they host, by model and class of token; what is no token
-- by its meter. Each charge of such a service is in one line.
select
    account,
    service,
    coalesce(model, sku_meter, service) as subject,
    token_class,
    service_tier,
    inference_geo,
    billing_currency,
    case when count(*) = count(tokens) then cast(sum(tokens) as bigint) end as tokens,
    cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
    count(*) as charges_count
from fct_cloud_model_costs_daily
group by all
order by all
