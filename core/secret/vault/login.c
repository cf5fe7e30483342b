// The methods of logging in: a request each.
#include "secret/vault/inside.h"
#include "source/file.h"

enum { LOGIN_MAX_BYTES = 256 * 1024 };

static void add_text(struct sld_json *j, const char *key, struct sld_str value)
{
    if (!value.p)
        return;
    sld_json_key(j, key);
    sld_json_str(j, value);
}

static enum sld_rc role_id(struct sld_arena *a, const struct vault_config *c, struct sld_str *out,
                           struct sld_err *err)
{
    *out = c->role;
    return c->role.p ? SLD_OK : sld_secret_file_read(a, "appRole.roleIdFile", c->role_file, out, err);
}

enum sld_rc vault_login_make(struct sld_arena *a, const struct vault_config *c,
                             struct sld_str secret, struct vault_login *out, struct sld_err *err)
{
    struct sld_buf b;
    struct sld_json j;
    struct sld_str role = c->role;
    enum sld_rc rc = c->method == VAULT_APP_ROLE ? role_id(a, c, &role, err) : SLD_OK;
    if (rc)
        return rc;
    sld_buf_init_secret(&b, LOGIN_MAX_BYTES);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    out->path = SLD_ARENA_JOIN(a, SLD_STR("auth/"), c->auth_mount, SLD_STR("/login"));
    switch (c->method) {
    case VAULT_APP_ROLE:
        add_text(&j, "role_id", role);
        add_text(&j, "secret_id", secret);
        break;
    case VAULT_KUBERNETES:
    case VAULT_JWT:
        add_text(&j, "role", role);
        add_text(&j, "jwt", secret);
        break;
    case VAULT_CERTIFICATE:
        add_text(&j, "name", role);
        break;
    case VAULT_USERPASS:
        out->path = SLD_ARENA_JOIN(a, out->path, SLD_STR("/"), c->user);
        add_text(&j, "password", secret);
        break;
    case VAULT_AWS:
        vault_aws_fields(a, c, sld_wall_ms() / 1000, &j);
        break;
    default:
        SLD_UNREACHABLE();
    }
    sld_json_end(&j, '}');
    out->body = sld_arena_str(a, sld_buf_str(&b));
    if (b.full)
        rc = sld_err_set(err, SLD_LIMIT, "the login is too large");
    sld_buf_fini(&b);
    return rc;
}
