//! Pages with the real SDKs of other systems, which `./test` installs in `tests/sdk`.

pages! {
    amplitude = "amplitude",
    cloudevents = "cloudevents",
    ga4 = "ga4",
    matomo = "matomo",
    mixpanel = "mixpanel",
    opentelemetry = "opentelemetry",
    plausible = "plausible",
    posthog = "posthog",
    segment = "segment",
    sentry = "sentry",
    shopify = "shopify",
    snowplow = "snowplow",
    stripe = "stripe",
    umami = "umami",
}
