<?php
// Stand-ins for what the plugin of docs/sources/woocommerce.md calls of WordPress and WooCommerce: hooks, one
// shop, and a request that is really sent. The plugin is loaded, and then its hooks are called.

$hooks = [];

function add_action(string $hook, callable $call, int $priority = 10, int $arguments = 1): void
{
    global $hooks;
    $hooks[$hook][] = fn (...$given) => $call(...array_slice($given, 0, $arguments));
}

function do_action(string $hook, ...$given): void
{
    global $hooks;
    foreach ($hooks[$hook] ?? throw new Exception("nobody listens to {$hook}") as $call) {
        $call(...$given);
    }
}

function wp_json_encode($value): string
{
    return json_encode($value, JSON_THROW_ON_ERROR);
}

function wp_remote_post(string $url, array $given): void
{
    $headers = array_map(fn ($name, $value) => "{$name}: {$value}", array_keys($given['headers']), $given['headers']);
    $request = stream_context_create(['http' => [
        'method' => 'POST', 'header' => $headers, 'content' => $given['body'], 'timeout' => $given['timeout'],
    ]]);
    file_get_contents($url, false, $request) ?: throw new Exception('it was not taken');
}

class ShopOrder
{
    public function __construct(private array $values)
    {
    }

    public function __call(string $name, array $given): mixed
    {
        return $this->values[$name] ?? throw new Exception("an order has no {$name}");
    }
}

function wc_get_order(int $id): ShopOrder
{
    return new ShopOrder([
        1001 => [
            'get_customer_id' => 7, 'get_total' => '59.97', 'get_currency' => 'EUR',
            'get_payment_method' => 'paypal',
        ],
        1002 => ['get_amount' => '19.99', 'get_currency' => 'EUR'],
        1003 => ['get_payment_method' => 'stripe'],
    ][$id]);
}

require $argv[1];
do_action('woocommerce_payment_complete', 1001);
// WooCommerce may say so again.
do_action('woocommerce_payment_complete', 1001);
do_action('woocommerce_order_refunded', 1001, 1002);
do_action('woocommerce_order_status_failed', 1003);
do_action('woocommerce_created_customer', 7, [], '');
