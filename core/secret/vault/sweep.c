// Which of the wanted secrets changed: one listing for a folder where Vault lists versions, else
// one question for each, else they are read.
#include "secret/vault/inside.h"

enum { LIST_FROM = 3 }; // fewer secrets of a folder are asked for one by one

static struct sld_str folder_of(const struct unit *u)
{
    size_t n = u->path.n;
    while (n && u->path.p[n - 1] != '/')
        n--;
    return sld_str_sub(u->path, 0, n ? n - 1 : 0);
}

static bool in_folder(const struct unit *u, const struct folder *f)
{
    return u->kind != UNIT_CERTIFICATE && sld_str_eq(folder_of(u), (struct sld_str){f->path, f->n});
}

static void folder_free(struct folder *f)
{
    vault_call_cancel(f->call);
    sld_list_remove(&f->link);
    sld_xfree(f);
}

// FN for each unit of F.
static void each(struct folder *f, void (*fn)(struct unit *u, const struct vault_answer *a),
                 const struct vault_answer *a)
{
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&f->v->units, &at));) {
        if (in_folder(u, f))
            fn(u, a);
    }
}

static void compare(struct unit *u, const struct vault_answer *a)
{
    const struct sld_node *info = sld_node_get(a->data, SLD_STR("key_info"));
    struct sld_str name = sld_str_sub(u->path, folder_of(u).n + 1, u->path.n);
    const struct sld_node *about = sld_node_get(info, name);
    struct sld_str number = sld_node_text(sld_node_get(about, SLD_STR("current_version")));
    unit_seen(u, number, sld_node_get(sld_node_get(about, SLD_STR("versions")), number));
}

static void one_by_one(struct unit *u, const struct vault_answer *a)
{
    (void)a;
    u->no_list = true;
    vault_queue(u, true);
}

static void check_all(struct unit *u, const struct vault_answer *a)
{
    (void)a;
    vault_queue(u, true);
}

static void on_list(const struct vault_answer *in, void *user)
{
    struct folder *f = user;
    struct vault *v = f->v;
    const struct sld_node *info = sld_node_get(in->data, SLD_STR("key_info"));
    // A folder without keys is missing, so an empty listing shows nothing.
    const struct vault_answer got =
        vault_expect(in, info && info->type == SLD_NODE_MAP && info->count > 0);
    const struct vault_answer *a = &got;
    f->call = NULL;
    vault_kick(v);
    bool own = a->status && a->status != 429 && a->status != 501 && a->status != 503;
    if (a->verdict == VAULT_DOWN && own) { // of this folder, perhaps: its secrets will show
        each(f, check_all, a);
        folder_free(f);
        return;
    }
    if (!vault_heard(v, a)) {
        sweep_stop(v); // it begins anew after the pause
        v->sweep_ns = v->wait_ns;
        return;
    }
    if (a->verdict == VAULT_OK || a->verdict == VAULT_MISSING) {
        vault_proved(v);
        each(f, compare, a);
    } else {
        struct mount *m = mount_find(v, (struct sld_str){f->path, f->n});
        if (m && (a->verdict == VAULT_NO_ROUTE || a->verdict == VAULT_REFUSED))
            m->no_list = true; // it knows no such thing
        each(f, one_by_one, a);
    }
    folder_free(f);
}

void folder_go(struct folder *f)
{
    struct sld_arena a = {0};
    struct sld_str path = {f->path, f->n};
    const struct vault_request rq = {
        .path = SLD_ARENA_JOIN(&a, sld_str_sub(path, 0, f->mount_n), SLD_STR("/detailed-metadata"),
                               sld_str_sub(path, f->mount_n, path.n)),
        .query = SLD_STR("list=true"),
        .max_body_bytes = VAULT_LIST_MAX_BYTES,
    };
    f->call = vault_ask(f->v, &rq, on_list, f);
    sld_arena_fini(&a);
}

static void add_folder(struct vault *v, struct sld_str path, size_t mount_n)
{
    struct folder *f = sld_xcalloc(1, sizeof(*f) + path.n + 1);
    f->v = v;
    f->mount_n = mount_n;
    f->n = path.n;
    memcpy(f->path, path.p, path.n);
    sld_list_push(&v->folders, &f->link);
}

// What is read as a whole: not of an engine with versions, or in trouble anyway.
static bool has_to_be_read(const struct unit *u, const struct mount *m)
{
    return !m || m->kv_version != 2 || u->by_data || !u->answered || u->problem[0];
}

static bool looks_after_itself(const struct unit *u)
{
    return u->forget_ns || u->kind == UNIT_CERTIFICATE || (u->leased && u->due_ns);
}

// Units by folder, so that those of a small one are asked for one by one.
static void count(struct vault *v, struct sld_map *counts)
{
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        struct mount *m = mount_find(v, u->path);
        if (looks_after_itself(u) || has_to_be_read(u, m) || m->no_list || u->no_list)
            continue;
        struct sld_str path = folder_of(u);
        uintptr_t n = (uintptr_t)sld_map_get(counts, path) + 1;
        sld_map_set(counts, path, (void *)n); // a number, not an address
        if (n == LIST_FROM)
            add_folder(v, path, m->n);
    }
}

void sweep_start(struct vault *v)
{
    struct sld_map counts = {0};
    size_t at = 0;
    v->sweeping = true;
    v->sync_due = true;
    count(v, &counts);
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        struct mount *m = mount_find(v, u->path);
        if (looks_after_itself(u))
            continue;
        if (has_to_be_read(u, m))
            vault_queue(u, false);
        else if (m->no_list || u->no_list ||
                 (uintptr_t)sld_map_get(&counts, folder_of(u)) < LIST_FROM)
            vault_queue(u, true);
    }
    sld_map_fini(&counts);
}

void sweep_stop(struct vault *v)
{
    SLD_LIST_EACH (it, &v->folders)
        folder_free(SLD_CONTAINER_OF(it, struct folder, link));
    v->sweeping = false;
}
