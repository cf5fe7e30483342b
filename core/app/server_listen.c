// The server's addresses: for Envoys and for the admin interface.
#include "app/server_inside.h"

#include <errno.h>
#include <sys/stat.h>

#include "source/file.h"
#include "net/address.h"
#include "net/grpc.h"

enum { PEM_MAX_BYTES = 1024 * 1024, MAX_ADDRESSES = 16 };

enum sld_rc server_read_tls(struct sld_arena *a, const char *what, const char *cert, const char *key, const char *client_ca,
                            struct sld_grpc_tls *tls, struct sld_err *err)
{
    if (!cert || !key || !client_ca)
        return sld_err_set(err, SLD_INVALID, "--%s-cert, --%s-key and --%s-client-ca go together", what, what, what);
    enum sld_rc rc = sld_file_read(a, sld_arena_fmt(a, "--%s-cert", what).p, cert, PEM_MAX_BYTES, &tls->cert_chain_pem, err);
    if (!rc)
        rc = sld_file_read(a, sld_arena_fmt(a, "--%s-key", what).p, key, PEM_MAX_BYTES, &tls->key_pem, err);
    if (!rc)
        rc = sld_file_read(a, sld_arena_fmt(a, "--%s-client-ca", what).p, client_ca, PEM_MAX_BYTES, &tls->client_ca_pem, err);
    return rc;
}

// The files of --xds-cert, --xds-key and --xds-client-ca; *TLS stays NULL without them.
static enum sld_rc read_xds_tls(struct server *s, struct sld_arena *a, struct sld_grpc_tls *tls,
                                bool *given, struct sld_err *err)
{
    const struct sld_server_options *o = s->opt;
    *given = o->xds_cert || o->xds_key || o->xds_client_ca;
    if (!*given)
        return SLD_OK;
    return server_read_tls(a, "xds", o->xds_cert, o->xds_key, o->xds_client_ca, tls, err);
}

void server_reload_xds_tls(struct server *s)
{
    struct sld_arena a = {0};
    struct sld_grpc_tls tls = {0};
    struct sld_err err = {0};
    bool given;
    enum sld_rc rc = read_xds_tls(s, &a, &tls, &given, &err);
    if (!rc && given)
        rc = sld_xds_server_set_tls(s->xds_server, &tls, &err);
    if (rc)
        SLD_LOG(SLD_WARN, "app", "xds_tls_kept", SLD_KC("reason", err.msg));
    sld_arena_fini(&a);
}

// Private keys go over the sockets in it, so it is ours alone.
enum sld_rc server_make_run_dir(struct server *s, struct sld_err *err)
{
    s->run_dir = app_run_dir(&s->arena, server_state_dir(s));
    if (mkdir(s->run_dir.p, 0700) && errno != EEXIST)
        return sld_err_errno(err, errno, "%s", s->run_dir.p);
    if (chmod(s->run_dir.p, 0700))
        return sld_err_errno(err, errno, "%s", s->run_dir.p);
    return SLD_OK;
}

// Whether nobody else's machine reaches ADDRESS, which is one.
static bool local(struct sld_str address)
{
    struct sld_net_address at;
    struct sld_err err = {0};
    return !sld_net_address_parse(address, &at, &err) && sld_net_address_local(&at);
}

enum sld_rc server_listen_xds(struct server *s, struct sld_err *err)
{
    const Gloo__SolderSettings *set = server_own_settings(s);
    struct sld_str addresses[MAX_ADDRESSES];
    struct sld_grpc_tls tls = {0};
    bool given;
    struct sld_xds_server_options o = {.addresses = addresses, .insecure = s->opt->xds_insecure};
    for (const char *const *at = s->opt->xds; *at; at++) {
        if (o.address_count == MAX_ADDRESSES - 1)
            return sld_err_set(err, SLD_LIMIT, "more than %d --xds", MAX_ADDRESSES - 1);
        addresses[o.address_count++] = sld_str_c(*at);
    }
    bool from_settings = set && set->xds_address[0];
    if (!o.address_count && (!s->opt->envoy || from_settings))
        addresses[o.address_count++] =
            from_settings ? sld_str_c(set->xds_address) : SLD_STR("127.0.0.1:9977");
    enum sld_rc rc = read_xds_tls(s, &s->arena, &tls, &given, err);
    if (!rc && s->opt->envoy)
        addresses[o.address_count++] =
            sld_arena_fmt(&s->arena, "unix:%.*s/xds.sock", SLD_FMT(s->run_dir));
    if (rc)
        return rc;
    o.tls = given ? &tls : NULL;
    s->xds_server = sld_xds_server_create(s->io, s->xds, &o, err);
    if (!s->xds_server)
        return sld_err_wrap(err, "xDS address");
    for (size_t i = 0; i < o.address_count; i++)
        s->xds_far |= !local(addresses[i]);
    for (size_t i = 0; i < o.address_count; i++)
        SLD_LOG(SLD_INFO, "app", "xds_listening", SLD_KS("address", addresses[i]),
                SLD_KI("port", sld_xds_server_port(s->xds_server, i)));
    return SLD_OK;
}

enum sld_rc server_listen_admin(struct server *s, struct sld_err *err)
{
    const Gloo__SolderSettings *set = server_own_settings(s);
    struct sld_admin_options o = {
        .io = s->io,
        .xds = s->xds,
        .host = server_admin_host(s),
        .version = SLD_STR(SLD_VERSION),
    };
    s->admin = sld_admin_create(&o);
    struct sld_admin_access access = {
        .cert_file = sld_str_c(s->opt->admin_cert),
        .key_file = sld_str_c(s->opt->admin_key),
        .client_ca_file = sld_str_c(s->opt->admin_client_ca),
        .token_file = sld_str_c(s->opt->admin_token_file),
    };
    const char *const *list = s->opt->admin;
    const char *from_settings[] = {
        set && set->admin_address[0] ? set->admin_address : "127.0.0.1:9091", NULL};
    if (!list[0])
        list = from_settings;
    for (; *list; list++) {
        int port;
        enum sld_rc rc = sld_admin_listen(s->admin, sld_str_c(*list), &access, &port, err);
        if (rc)
            return sld_err_wrap(err, "--admin %s", *list);
        SLD_LOG(SLD_INFO, "app", "admin_listening", SLD_KC("address", *list), SLD_KI("port", port));
    }
    return SLD_OK;
}
