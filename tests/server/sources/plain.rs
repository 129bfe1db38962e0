//! Pages that need no SDK.

pages! {
    curl = "curl",
    node = "node",
    python = "python",
    php = "php",
    woocommerce = "woocommerce",
    log_shippers = "log-shippers",
}
