// solder run: the control plane.
#include "app/commands.h"
#include "app/settings.h"
#include "app/flags.h"
#include "app/server.h"

#include <errno.h>
#include <unistd.h>

enum { ENVOY_TIMEOUT_S = 60, ENVOY_TIMEOUT_MAX_S = 3600, WORKER_THREADS_MAX = 64 };

static int run(struct sld_args *a)
{
    struct sld_server_options o = {
        .configs = sld_args_all(a, "config"),
        .secrets = sld_args_all(a, "secrets"),
        .settings_file = sld_args_get(a, "settings"),
        .settings_name = sld_args_get(a, "settings-name"),
        .envoy = sld_args_get(a, "envoy"),
        .envoy_proxy = sld_args_get(a, "envoy-proxy"),
        .envoy_timeout_s = ENVOY_TIMEOUT_S,
        .xds = sld_args_all(a, "xds"),
        .xds_insecure = sld_args_has(a, "xds-insecure"),
        .xds_cert = sld_args_get(a, "xds-cert"),
        .xds_key = sld_args_get(a, "xds-key"),
        .xds_client_ca = sld_args_get(a, "xds-client-ca"),
        .admin = sld_args_all(a, "admin"),
        .admin_token_file = sld_args_get(a, "admin-token-file"),
        .admin_cert = sld_args_get(a, "admin-cert"),
        .admin_key = sld_args_get(a, "admin-key"),
        .admin_client_ca = sld_args_get(a, "admin-client-ca"),
        .state_dir = sld_args_get(a, "state-dir"),
        .log_level = sld_args_get(a, "log-level"),
        .plugins = sld_args_get(a, "plugins"),
        .worker_listen = sld_args_get(a, "worker-listen"),
        .worker_address = sld_args_get(a, "worker-address"),
        .worker_cert = sld_args_get(a, "worker-cert"),
        .worker_key = sld_args_get(a, "worker-key"),
        .worker_client_ca = sld_args_get(a, "worker-client-ca"),
    };
    const char *threads = sld_args_get(a, "worker-threads");
    if (threads && (!sld_str_u64(sld_str_c(threads), &o.worker_threads) || !o.worker_threads || o.worker_threads > WORKER_THREADS_MAX))
        return sld_usage("--worker-threads takes a number, 1 to %d, not %s", WORKER_THREADS_MAX, threads);
    if (o.plugins && access(o.plugins, R_OK | X_OK) != 0)
        return sld_usage("--plugins: the folder %s cannot be read: %s", o.plugins, strerror(errno));
    const char *timeout = sld_args_get(a, "envoy-timeout");
    if (timeout && (!sld_str_u64(sld_str_c(timeout), &o.envoy_timeout_s) || !o.envoy_timeout_s ||
                    o.envoy_timeout_s > ENVOY_TIMEOUT_MAX_S))
        return sld_usage("--envoy-timeout takes seconds, 1 to %d, not %s", ENVOY_TIMEOUT_MAX_S, timeout);
    const char *format = sld_args_get(a, "log-format");
    if (format && strcmp(format, "json") && strcmp(format, "text"))
        return sld_usage("--log-format takes json or text, not %s", format);
    if (format)
        sld_log_set_json(!strcmp(format, "json"));
    return sld_server_run(&o);
}

static const struct sld_flag flags[] = {
    {.name = "admin",
     .arg = "ADDR",
     .env = "SOLDER_ADMIN",
     .help = "admin interface; default 127.0.0.1:9091",
     .repeat = true},
    {.name = "admin-cert", .arg = "FILE", .help = "certificate chain of the admin interface, PEM"},
    {.name = "admin-client-ca",
     .arg = "FILE",
     .help = "authorities of the admin interface's clients, PEM"},
    {.name = "admin-key", .arg = "FILE", .help = "private key of the admin interface, PEM"},
    {.name = "admin-token-file",
     .arg = "FILE",
     .env = "SOLDER_TOKEN_FILE",
     .help = "token that clients of the admin interface must show"},
    {.name = "config",
     .arg = "SOURCE",
     .env = "SOLDER_CONFIG",
     .help = "where resources are: a directory or consul://HOST:PORT/ROOT",
     .repeat = true},
    {.name = "envoy",
     .arg = "[PATH]",
     .env = "SOLDER_ENVOY",
     .help = "run an Envoy and supervise it; without PATH the one on PATH"},
    {.name = "envoy-proxy",
     .arg = "NAME",
     .help = "proxy whose gateways that Envoy serves; default gateway-proxy"},
    {.name = "envoy-timeout",
     .arg = "SECONDS",
     .help = "how long readiness waits for that Envoy to take everything; default 60"},
    {.name = "log-format",
     .arg = "FORMAT",
     .env = "SOLDER_LOG_FORMAT",
     .help = "json or text; default text on a terminal"},
    {.name = "log-level",
     .arg = "LEVEL",
     .env = "SOLDER_LOG_LEVEL",
     .help = "debug, info (default), warn or error"},
    SLD_PLUGINS_FLAG,
    {.name = "secrets",
     .arg = "STORE",
     .env = "SOLDER_SECRETS",
     .help = "where Secrets are besides: a directory or vault://HOST:PORT",
     .repeat = true},
    SLD_SETTINGS_FLAGS,
    {.name = "state-dir",
     .arg = "DIR",
     .env = "SOLDER_STATE_DIR",
     .help = "what must survive a restart; default /var/lib/solder"},
    {.name = "worker-address",
     .arg = "HOST:PORT",
     .help = "what Envoys are told instead of --worker-listen, where that is another name for it"},
    {.name = "worker-cert", .arg = "FILE", .help = "certificate chain of the worker, PEM; default --xds-cert"},
    {.name = "worker-client-ca", .arg = "FILE", .help = "authorities of Envoys' certificates for it, PEM; default --xds-client-ca"},
    {.name = "worker-key", .arg = "FILE", .help = "private key of the worker, PEM; default --xds-key"},
    {.name = "worker-listen",
     .arg = "HOST:PORT",
     .help = "where Envoys of other machines reach the worker of plugins: PORT and those behind it, one a thread"},
    {.name = "worker-threads",
     .arg = "N",
     .help = "event loops that answer for plugins; default: one for each processor, at most 4"},
    {.name = "xds",
     .arg = "ADDR",
     .env = "SOLDER_XDS",
     .help = "where Envoys connect; default 127.0.0.1:9977, none with --envoy",
     .repeat = true},
    {.name = "xds-cert", .arg = "FILE", .help = "certificate chain for Envoys, PEM"},
    {.name = "xds-client-ca", .arg = "FILE", .help = "authorities of Envoys' certificates, PEM"},
    {.name = "xds-insecure",
     .help = "allow a plain xDS address that other machines reach, though private keys go over it"},
    {.name = "xds-key", .arg = "FILE", .help = "private key for Envoys, PEM"},
};

const struct sld_command sld_cmd_run = {
    .name = "run",
    .args = "",
    .help = "Runs the control plane.",
    .more =
        "solder run --config /etc/solder --envoy\n"
        "solder run --config consul://127.0.0.1:8500/gloo --secrets vault: --envoy\n"
        "solder run --config /etc/solder --xds 127.0.0.1:9977    (for Envoys started otherwise; "
        "see solder bootstrap)\n\n"
        "SIGTERM and SIGINT stop gracefully, a second one at once; SIGHUP reads everything again.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .run = run,
};
