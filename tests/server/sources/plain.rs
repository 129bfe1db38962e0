//! Pages that need no SDK.

pages! {
    curl = "curl",
    floodmark_js = "page",
    node = "node",
    python = "python",
    php = "php",
    woocommerce = "woocommerce",
    log_shippers = "log-shippers",
}
