// solder bootstrap: the configuration an Envoy that Solder does not start itself is started with.
#include <stdio.h>

#include "app/commands.h"
#include "app/flags.h"
#include "edge/bootstrap.h"

static int run(struct sld_args *a)
{
    const char *format = sld_args_get(a, "output"), *role = sld_args_get(a, "role"),
               *xds = sld_args_get(a, "xds");
    if (format && strcmp(format, "json") && strcmp(format, "yaml"))
        return sld_usage("-o takes yaml or json, not %s", format);
    if (role && !strchr(role, '~'))
        return sld_usage(
            "--role is <write namespace>~<proxy name>, such as gloo-system~gateway-proxy, not %s",
            role);
    struct sld_bootstrap_options o = {
        .role = sld_str_c(role ? role : "gloo-system~gateway-proxy"),
        .node_id = sld_str_c(sld_args_get(a, "node-id")),
        .node_cluster = sld_str_c(sld_args_get(a, "node-cluster")),
        .xds = sld_str_c(xds ? xds : "127.0.0.1:9977"),
        .tls =
            {
                .ca_file = sld_str_c(sld_args_get(a, "ca")),
                .cert_file = sld_str_c(sld_args_get(a, "cert")),
                .key_file = sld_str_c(sld_args_get(a, "key")),
                .server_name = sld_str_c(sld_args_get(a, "server-name")),
            },
        .admin = sld_str_c(sld_args_get(a, "envoy-admin")),
        .full_stats = sld_args_has(a, "full-stats"),
    };
    struct sld_buf b;
    sld_buf_init(&b, 1U << 20);
    struct sld_err err = {0};
    bool json = format && !strcmp(format, "json");
    if (sld_bootstrap_print(&b, &o, json ? SLD_TEXT_JSON : SLD_TEXT_YAML, &err)) {
        sld_buf_fini(&b);
        return sld_usage("%s", err.msg);
    }
    fwrite(b.p, 1, b.n, stdout);
    sld_buf_fini(&b);
    return SLD_EXIT_OK;
}

static const struct sld_flag flags[] = {
    {.name = "ca",
     .arg = "FILE",
     .help =
         "authorities of Solder's certificate, as the Envoy sees the file; with it TLS is used"},
    {.name = "cert", .arg = "FILE", .help = "the Envoy's certificate chain, as it sees the file"},
    {.name = "envoy-admin",
     .arg = "ADDR",
     .help = "Envoy's own admin interface: unix:/path or a loopback address; default none"},
    {.name = "full-stats", .help = "all of Envoy's statistics instead of the lean list"},
    {.name = "key", .arg = "FILE", .help = "the Envoy's private key, as it sees the file"},
    {.name = "node-cluster", .arg = "NAME", .help = "node.cluster; default gateway"},
    {.name = "node-id", .arg = "ID", .help = "node.id; default the role"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .help = "yaml (default) or json"},
    {.name = "role",
     .arg = "NS~PROXY",
     .help = "which proxy's listeners it serves; default gloo-system~gateway-proxy"},
    {.name = "server-name",
     .arg = "NAME",
     .help = "name in Solder's certificate; default the host of --xds"},
    {.name = "xds", .arg = "ADDR", .help = "where Solder listens for it; default 127.0.0.1:9977"},
};

const struct sld_command sld_cmd_bootstrap = {
    .name = "bootstrap",
    .args = "",
    .help = "Prints the bootstrap of an Envoy that Solder does not start itself.",
    .more = "solder bootstrap --xds 10.0.0.7:9977 --ca ca.pem --cert envoy.pem --key envoy.key > "
            "envoy.yaml\n"
            "envoy -c envoy.yaml",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .run = run,
};
